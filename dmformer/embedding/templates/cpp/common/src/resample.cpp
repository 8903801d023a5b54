// Pillow's resampling (its src/libImaging/Resample.c and Geometry.c), to the last bit: coefficients in double
// precision, rounded to 22 bits after the point; two passes with 8-bit pixels in between. Compiled without fused
// multiply-add.
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "dmformer/preprocessing.hpp"

namespace dmformer {
namespace {

constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr double kPi = 3.14159265358979323846;

double bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= kPi;
  return std::sin(x) / x;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct Kernel {
  double (*weight)(double);
  double support;
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::kBilinear: return {bilinear, 1.0};
    case Filter::kBicubic: return {bicubic, 2.0};
    case Filter::kLanczos: return {lanczos, 3.0};
    case Filter::kNearest: break;
  }
  throw std::logic_error("nearest has no kernel");
}

// For each output position: the first input position, how many, and their weights.
struct Taps {
  std::vector<int> first;
  std::vector<int> count;
  std::vector<std::int32_t> weights;
  int stride;
};

std::int32_t fixed_point(double weight) {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<std::int32_t>(scaled < 0 ? -0.5 + scaled : 0.5 + scaled);
}

Taps taps_of(int in_size, int out_size, const Kernel& kernel) {
  const double scale = static_cast<double>(in_size) / out_size;
  const double filter_scale = scale < 1.0 ? 1.0 : scale;
  const double support = kernel.support * filter_scale;
  const double step = 1.0 / filter_scale;
  Taps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.weights.assign(static_cast<std::size_t>(taps.stride) * out_size, 0);
  std::vector<double> weights(taps.stride);
  for (int out = 0; out < out_size; ++out) {
    const double center = (out + 0.5) * scale;
    int first = static_cast<int>(center - support + 0.5);
    if (first < 0) first = 0;
    int last = static_cast<int>(center + support + 0.5);
    if (last > in_size) last = in_size;
    const int count = last - first;
    double sum = 0.0;
    for (int index = 0; index < count; ++index) {
      weights[index] = kernel.weight((index + first - center + 0.5) * step);
      sum += weights[index];
    }
    for (int index = 0; index < count; ++index) {
      const double weight = sum != 0.0 ? weights[index] / sum : weights[index];
      taps.weights[static_cast<std::size_t>(out) * taps.stride + index] = fixed_point(weight);
    }
    taps.first.push_back(first);
    taps.count.push_back(count);
  }
  return taps;
}

std::uint8_t clipped(std::int32_t sum) {
  const std::int32_t value = sum >> kPrecisionBits;
  return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

// `from` is the first of the input samples, `pitch` the distance to the next.
std::uint8_t weighted(const std::uint8_t* from, std::size_t pitch, const std::int32_t* weights, int count) {
  std::int32_t sum = 1 << (kPrecisionBits - 1);
  for (int index = 0; index < count; ++index) sum += from[index * pitch] * weights[index];
  return clipped(sum);
}

Image resize_rows(const Image& image, int width, const Kernel& kernel) {
  const Taps taps = taps_of(image.width, width, kernel);
  Image made(width, image.height, image.channels);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < width; ++x) {
      const std::int32_t* weights = taps.weights.data() + static_cast<std::size_t>(x) * taps.stride;
      for (int c = 0; c < image.channels; ++c) {
        made.row(y)[x * image.channels + c] =
            weighted(image.row(y) + taps.first[x] * image.channels + c, image.channels, weights, taps.count[x]);
      }
    }
  }
  return made;
}

Image resize_columns(const Image& image, int height, const Kernel& kernel) {
  const Taps taps = taps_of(image.height, height, kernel);
  const int samples = image.width * image.channels;
  Image made(image.width, height, image.channels);
  for (int y = 0; y < height; ++y) {
    const std::int32_t* weights = taps.weights.data() + static_cast<std::size_t>(y) * taps.stride;
    const std::uint8_t* from = image.row(taps.first[y]);
    for (int sample = 0; sample < samples; ++sample) {
      made.row(y)[sample] = weighted(from + sample, samples, weights, taps.count[y]);
    }
  }
  return made;
}

// Pillow's order in release 13 (older ones always begin with the rows): the pixels between the passes are rounded, so
// that the order shows.
bool columns_first(const Image& image, int width, int height) {
  const int less = image.height - height;
  return less > 0 && less > (image.width - width) * 2;
}

// The input position of each output position; Pillow adds the steps up, so that their rounding does too.
std::vector<int> nearest_positions(int in_size, int out_size) {
  const double step = static_cast<double>(in_size) / out_size;
  double at = step * 0.5;
  std::vector<int> positions;
  for (int out = 0; out < out_size; ++out, at += step) positions.push_back(static_cast<int>(at));
  return positions;
}

Image nearest(const Image& image, int width, int height) {
  const auto columns = nearest_positions(image.width, width), rows = nearest_positions(image.height, height);
  Image made(width, height, image.channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      // Beyond the edge, where the sum of the steps may end, Pillow leaves black.
      if (rows[y] >= image.height || columns[x] >= image.width) continue;
      for (int c = 0; c < image.channels; ++c) {
        made.row(y)[x * image.channels + c] = image.row(rows[y])[columns[x] * image.channels + c];
      }
    }
  }
  return made;
}

}  // namespace

Image resize(const Image& image, int width, int height, Filter filter) {
  if (image.width == width && image.height == height) return image;
  if (filter == Filter::kNearest) return nearest(image, width, height);
  const Kernel kernel = kernel_of(filter);
  // Neither pass is made where it would change nothing: the same size is a copy in Pillow too.
  const auto across = [&](const Image& from) { return from.width == width ? from : resize_rows(from, width, kernel); };
  const auto down = [&](const Image& from) {
    return from.height == height ? from : resize_columns(from, height, kernel);
  };
  return columns_first(image, width, height) ? across(down(image)) : down(across(image));
}

}  // namespace dmformer
