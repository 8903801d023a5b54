// Runs the project's decoding and preprocessing with any parameters: one case on each line of standard input, as
//   PATH HEIGHT WIDTH RESIZE SHORTER FILTER ORDER FILL CHANNELS MEAN... DEVIATION... OUTPUT
// PATH is an image file, or "raw:WIDTH:HEIGHT:CHANNELS:PATH". HEIGHT 0 writes the decoded pixels instead of a tensor.
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>

#include "dmformer/image.hpp"
#include "dmformer/preprocessing.hpp"

using namespace dmformer;

static Image read(const std::string& place) {
  int width = 0, height = 0, channels = 0, used = 0;
  if (std::sscanf(place.c_str(), "raw:%d:%d:%d:%n", &width, &height, &channels, &used) < 3) return load_image(place);
  std::ifstream file(place.substr(used), std::ios::binary);
  return Image(width, height, channels, {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
}

static void write(const std::string& path, const void* data, std::size_t size) {
  std::ofstream(path, std::ios::binary).write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
}

static void run(std::istringstream line) {
  std::string place, output;
  int resize = 0, filter = 0, order = 0, channels = 0;
  Preprocessing spec{};
  line >> place >> spec.height >> spec.width >> resize >> spec.shorter_side >> filter >> order >> spec.fill >> channels;
  spec.resize = static_cast<Resize>(resize);
  spec.filter = static_cast<Filter>(filter);
  spec.order = static_cast<Order>(order);
  for (auto* values : {&spec.mean, &spec.deviation}) {
    for (int c = 0; c < channels; ++c) {
      double value = 0;
      line >> value;
      values->push_back(static_cast<float>(value));
    }
  }
  line >> output;
  const Image image = read(place);
  if (spec.height == 0) {
    write(output, image.pixels.data(), image.pixels.size());
    std::cout << image.width << " " << image.height << " " << image.channels << "\n";
    return;
  }
  const auto tensor = preprocess<float>(image, spec);
  write(output, tensor.data(), tensor.size() * sizeof(float));
  std::cout << "tensor\n";
}

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      run(std::istringstream(line));
    } catch (const std::exception& error) {
      std::cout << "error: " << error.what() << "\n";
    }
  }
}
