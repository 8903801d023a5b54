#include "dmformer/preprocessing.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace dmformer {
namespace {

constexpr std::int64_t kMaxResizedPixels = std::int64_t{1} << 27;

// To the channels that the model takes: grey by ITU-R 601 in Pillow's fixed-point form, or RGB.
Image with_channels(const Image& image, int channels) {
  if (image.channels != 1 && image.channels != 3 && image.channels != 4) {
    throw std::runtime_error("an image has " + std::to_string(image.channels) + " channels, not 1, 3 or 4");
  }
  if (image.channels == channels) return image;
  Image made(image.width, image.height, channels);
  const std::size_t count = static_cast<std::size_t>(image.width) * image.height;
  for (std::size_t index = 0; index < count; ++index) {
    const std::uint8_t* from = image.pixels.data() + index * image.channels;
    std::uint8_t* to = made.pixels.data() + index * channels;
    if (channels == 1) {
      to[0] = static_cast<std::uint8_t>((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 0x8000) >> 16);
    } else {
      for (int c = 0; c < 3; ++c) to[c] = from[image.channels == 1 ? 0 : c];
    }
  }
  return made;
}

// Ties go to the even number, as Python's round() does.
int rounded(double value) { return static_cast<int>(std::nearbyint(value)); }

Image bounded_resize(const Image& image, int width, int height, Filter filter) {
  if (std::int64_t{width} * std::max(height, image.height) > kMaxResizedPixels) {
    throw std::runtime_error("an image of " + std::to_string(image.width) + "x" + std::to_string(image.height) +
                             " pixels is too elongated to be resized to " + std::to_string(width) + "x" +
                             std::to_string(height));
  }
  return resize(image, width, height, filter);
}

void paste(const Image& from, int from_x, int from_y, Image& to, int to_x, int to_y, int width, int height) {
  for (int y = 0; y < height; ++y) {
    std::memcpy(to.row(to_y + y) + to_x * to.channels, from.row(from_y + y) + from_x * from.channels,
                static_cast<std::size_t>(width) * from.channels);
  }
}

Image shorter_then_crop(const Image& image, const Preprocessing& spec) {
  const int side = spec.shorter_side;
  // The longer side is truncated, not rounded, as in torchvision.
  const auto longer = [side](int one, int other) { return static_cast<int>(double{1} * side * one / other); };
  const int width = image.width <= image.height ? side : longer(image.width, image.height);
  const int height = image.height <= image.width ? side : longer(image.height, image.width);
  const Image resized = bounded_resize(image, width, height, spec.filter);
  Image cropped(spec.width, spec.height, image.channels);
  paste(resized, rounded((width - spec.width) / 2.0), rounded((height - spec.height) / 2.0), cropped, 0, 0, spec.width,
        spec.height);
  return cropped;
}

Placement letterboxed(const Preprocessing& spec, int width, int height) {
  const double scale = std::min(static_cast<double>(spec.height) / height, static_cast<double>(spec.width) / width);
  const int across = std::min(spec.width, std::max(1, rounded(width * scale)));
  const int down = std::min(spec.height, std::max(1, rounded(height * scale)));
  return {(spec.height - down) / 2, (spec.width - across) / 2, down, across};
}

Image letterbox(const Image& image, const Preprocessing& spec) {
  const Placement place = letterboxed(spec, image.width, image.height);
  Image canvas(spec.width, spec.height, image.channels, static_cast<std::uint8_t>(spec.fill));
  const Image inner = bounded_resize(image, place.width, place.height, spec.filter);
  paste(inner, 0, 0, canvas, place.left, place.top, place.width, place.height);
  return canvas;
}

Image fitted(const Image& image, const Preprocessing& spec) {
  switch (spec.resize) {
    case Resize::kShorter: return shorter_then_crop(image, spec);
    case Resize::kLetterbox: return letterbox(image, spec);
    case Resize::kExact: break;
  }
  return bounded_resize(image, spec.width, spec.height, spec.filter);
}

}  // namespace

Placement placement(const Preprocessing& spec, int width, int height) {
  if (spec.resize == Resize::kShorter) throw std::runtime_error("the input does not show the whole of an image");
  return spec.resize == Resize::kLetterbox ? letterboxed(spec, width, height) : Placement{0, 0, spec.height, spec.width};
}

void preprocess_into(const Image& image, const Preprocessing& spec, float* tensor) {
  const int channels = spec.channels();
  const Image pixels = fitted(with_channels(image, channels), spec);
  const std::size_t plane = static_cast<std::size_t>(spec.height) * spec.width;
  for (int c = 0; c < channels; ++c) {
    const int from = spec.order == Order::kBgr ? 2 - c : c;
    const float mean = spec.mean[c], deviation = spec.deviation[c];
    // One division for each of the 256 levels rather than one for each pixel.
    float levels[256];
    for (int level = 0; level < 256; ++level) levels[level] = (static_cast<float>(level) / 255.0f - mean) / deviation;
    const std::uint8_t* sample = pixels.pixels.data() + from;
    for (std::size_t index = 0; index < plane; ++index) tensor[c * plane + index] = levels[sample[index * channels]];
  }
}

void preprocess_into(const Image& image, const Preprocessing& spec, std::uint8_t* pixels) {
  const int channels = spec.channels();
  const Image ready = fitted(with_channels(image, channels), spec);
  std::copy(ready.pixels.begin(), ready.pixels.end(), pixels);
  if (spec.order != Order::kBgr) return;
  for (std::size_t index = 0; index < ready.pixels.size(); index += channels) std::swap(pixels[index], pixels[index + 2]);
}

}  // namespace dmformer
