// The decoders behind load_image.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dmformer/image.hpp"

namespace dmformer {

using Bytes = std::vector<std::uint8_t>;

// An upright image is not promised: `orientation` is EXIF's, 1 to 8.
struct Decoded {
  Image image;
  int orientation = 1;
};

Decoded decode_jpeg(const Bytes& bytes, const std::string& name, std::size_t max_pixels);
Decoded decode_png(const Bytes& bytes, const std::string& name, std::size_t max_pixels);

// Throws where an image has more pixels than allowed.
void check_pixels(std::size_t width, std::size_t height, const std::string& name, std::size_t max_pixels);

// Orientation from an EXIF block (without its "Exif\0\0") or from XMP text; 0 where it says nothing.
int exif_orientation(const std::uint8_t* data, std::size_t size);
int xmp_orientation(const std::string& text);

// Turns an image upright.
Image upright(Image image, int orientation);

}  // namespace dmformer
