// From an image to what the engine takes: what dmformer's Python does, to the last bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dmformer/image.hpp"

namespace dmformer {

enum class Resize { kExact, kShorter, kLetterbox };
enum class Filter { kNearest, kBilinear, kBicubic, kLanczos };
enum class Order { kRgb, kBgr, kGrey };

// How an image becomes a model input; preprocessing_parameters.h holds the bundle's.
struct Preprocessing {
  int height;
  int width;
  Resize resize;
  int shorter_side;  // Of the resized image, for kShorter: the centre is cut out of it.
  Filter filter;
  Order order;
  std::vector<float> mean;  // One per channel, as is deviation.
  std::vector<float> deviation;
  int fill;  // Padding of the letterbox.

  int channels() const { return order == Order::kGrey ? 1 : 3; }
  std::size_t elements() const { return static_cast<std::size_t>(channels()) * height * width; }
};

// Where an image lies in the input, in pixels of the input; the rest is padding.
struct Placement {
  int top;
  int left;
  int height;
  int width;
};

// Of an image of a size. Throws std::runtime_error where the input does not show the whole of it.
Placement placement(const Preprocessing& spec, int width, int height);

// Into memory of spec.elements() floats [C, H, W]: (pixels / 255 - mean) / deviation. Throws std::runtime_error where the
// image has another number of channels than 1, 3 or 4 (alpha is dropped), or is so elongated that resizing would exhaust
// memory.
void preprocess_into(const Image& image, const Preprocessing& spec, float* tensor);

// The same but for the normalization, for an engine that does that itself: [H, W, C].
void preprocess_into(const Image& image, const Preprocessing& spec, std::uint8_t* pixels);

// The same as a value of its own.
template <typename Value>
std::vector<Value> preprocess(const Image& image, const Preprocessing& spec) {
  std::vector<Value> made(spec.elements());
  preprocess_into(image, spec, made.data());
  return made;
}

// Pillow's resize with antialiasing: fixed-point arithmetic. uint8 in, uint8 out, any number of channels.
Image resize(const Image& image, int width, int height, Filter filter);

}  // namespace dmformer
