// segment: the classes of images' pixels, and pictures of them.
//
// Exit codes: 0 done, 2 wrong input.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "dmformer/preprocessing_parameters.h"
#include "dmformer/segmenter.hpp"

namespace {

using namespace dmformer;

constexpr const char* kUsage =
    "usage: segment [--output DIR] [--opacity SHARE] [--project DIR] [--threads N] IMAGE...\n\n"
    "Prints the classes of JPEG and PNG images by their share of the pixels, with the colour that they are drawn in.\n"
    "--output names a folder for NAME.overlay.png, the colours over the image, and NAME.classes.png, the classes\n"
    "themselves. --project names the folder with engine/, which otherwise is beside this program.\n";

struct Options {
  std::string project;
  std::string output;
  double opacity = 0.5;
  int threads = 0;
  bool help = false;
  std::vector<std::string> images;
};

Options parse(int count, char** arguments) {
  Options options;
  options.project = folder_of(arguments[0]);
  for (int index = 1; index < count; ++index) {
    const std::string word = arguments[index];
    if (word == "--help" || word == "-h") {
      options.help = true;
    } else if (word.rfind("--", 0) != 0) {
      options.images.push_back(word);
    } else if (index + 1 == count) {
      throw std::runtime_error(word + ": is no option, or has no value (see --help)");
    } else if (const std::string value = arguments[++index]; word == "--output") {
      options.output = value;
    } else if (word == "--opacity") {
      options.opacity = std::min(number_of(word, value, 0.0), 1.0);
    } else if (word == "--threads") {
      options.threads = number_of(word, value, 0);
    } else if (word == "--project") {
      options.project = value;
    } else {
      throw std::runtime_error(word + ": is no option (see --help)");
    }
  }
  return options;
}

void show(Segmenter& segmenter, const std::string& path, const Options& options) {
  const Image image = load_image(path);
  const Segmentation found = segmenter.predict(image);
  std::printf("%s\n", path.c_str());
  for (const Share& share : found.shares()) {
    const auto& colour = parameters::colour(share.index);
    std::printf("  %6.2f%%  #%02x%02x%02x  %s\n", 100 * share.share, colour[0], colour[1], colour[2], share.label.c_str());
  }
  if (options.output.empty()) return;
  const std::filesystem::path folder = options.output;
  std::filesystem::create_directories(folder);
  const std::string name = std::filesystem::path(path).filename().string();
  write_png((folder / (name + ".overlay.png")).string(), found.overlay(image, options.opacity));
  write_png((folder / (name + ".classes.png")).string(), found);
}

int run(const Options& options) {
  if (options.images.empty()) throw std::runtime_error("no image was named (see --help)");
  Segmenter segmenter(options.project + "/engine", options.threads);
  for (const auto& path : options.images) show(segmenter, path, options);
  return 0;
}

}  // namespace

int main(int count, char** arguments) { return program(count, arguments, kUsage, parse, run); }
