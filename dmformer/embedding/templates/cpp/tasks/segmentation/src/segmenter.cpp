#include "dmformer/segmenter.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "dmformer/batches.hpp"
#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace dmformer {
namespace {

// The row, or column, of the input that each one of an image is nearest to.
std::vector<std::size_t> nearest(int start, int length, int pixels, int side) {
  std::vector<std::size_t> found;
  for (int at = 0; at < pixels; ++at) {
    const double place = start + (at + 0.5) * length / pixels;
    found.push_back(static_cast<std::size_t>(std::clamp(std::floor(place), 0.0, side - 1.0)));
  }
  return found;
}

std::uint8_t mixed(std::uint8_t pixel, std::uint8_t colour, double opacity) {
  const double value = pixel * (1 - opacity) + static_cast<float>(colour) * static_cast<float>(opacity);
  return static_cast<std::uint8_t>(std::clamp(std::nearbyint(value), 0.0, 255.0));
}

}  // namespace

Segmenter::Segmenter(const std::string& folder, int threads) : engine_(open_engine(folder, threads)) {}

Segmentation Segmenter::predict(const Image& image) {
  const auto given = run_all(engine_, preprocess<parameters::Input>(image, parameters::preprocessing()));
  return at_pixels(given.data(), image.width, image.height);
}

Segmentation at_pixels(const parameters::Output* given, int width, int height) {
  const auto& spec = parameters::preprocessing();
  const Placement place = placement(spec, width, height);
  const auto rows = nearest(place.top, place.height, height, spec.height);
  const auto columns = nearest(place.left, place.width, width, spec.width);
  Segmentation found{width, height, {}};
  found.classes.reserve(rows.size() * columns.size());
  for (const std::size_t row : rows) {
    for (const std::size_t column : columns) {
      const auto index = given[row * spec.width + column];
      const int number = index;
      if (number < 0 || number >= parameters::kClasses) throw std::runtime_error("the engine gives a class that is none");
      found.classes.push_back(index);
    }
  }
  return found;
}

std::vector<Share> Segmentation::shares() const {
  std::vector<std::size_t> counts(parameters::kClasses);
  for (const auto index : classes) ++counts[index];
  std::vector<Share> found;
  for (int index = 0; index < parameters::kClasses; ++index) {
    if (counts[index] == 0) continue;
    found.push_back({index, parameters::label(index), static_cast<double>(counts[index]) / classes.size()});
  }
  std::stable_sort(found.begin(), found.end(), [](const Share& one, const Share& other) { return one.share > other.share; });
  return found;
}

Image Segmentation::overlay(const Image& image, double opacity) const {
  if (image.width != width || image.height != height || image.channels != 3) {
    throw std::runtime_error("the image is not the one that was segmented");
  }
  Image made(width, height, 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const std::size_t at = static_cast<std::size_t>(y) * width + x;
      const auto own = classes[at];
      const bool edge = (x + 1 < width && classes[at + 1] != own) || (y + 1 < height && classes[at + width] != own);
      const auto& colour = parameters::colour(own);
      for (int c = 0; c < 3; ++c) {
        made.pixels[3 * at + c] = edge ? 255 : mixed(image.pixels[3 * at + c], colour[c], opacity);
      }
    }
  }
  return made;
}

}  // namespace dmformer
