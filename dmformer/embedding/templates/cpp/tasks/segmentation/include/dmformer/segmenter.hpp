// An image in, a class for every pixel out.
#pragma once

#include <string>
#include <vector>

#include "dmformer/engine.hpp"
#include "dmformer/image.hpp"

namespace dmformer {

struct Share {
  int index;
  std::string label;
  double share;  // Of the image's pixels, 0 to 1.
};

// The class of every pixel of an image, row by row.
struct Segmentation {
  int width = 0;
  int height = 0;
  std::vector<parameters::Output> classes;

  // The classes that are there, the largest first.
  std::vector<Share> shares() const;
  // The image with the classes' colours over it, sharp white lines where classes meet: RGB. Throws std::runtime_error
  // where the image has another size.
  Image overlay(const Image& image, double opacity = 0.5) const;
};

class Segmenter {
 public:
  // `folder` is the engine's; 0 threads are the runtime's choice.
  explicit Segmenter(const std::string& folder, int threads = 0);

  // Throws std::runtime_error.
  Segmentation predict(const Image& image);

 private:
  Engine engine_;
};

// What an engine gave for an image of a size, at each pixel of that image: the nearest value, padding left out.
Segmentation at_pixels(const parameters::Output* given, int width, int height);

// Files. An overlay or another image of 3 channels; the classes as one byte with a palette, of more than 256 classes as 16
// bits of grey. Throw std::runtime_error.
void write_png(const std::string& path, const Image& image);
void write_png(const std::string& path, const Segmentation& segmentation);

}  // namespace dmformer
