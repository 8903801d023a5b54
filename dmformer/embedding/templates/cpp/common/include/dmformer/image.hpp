// One image from a file or from memory, as pixels. Files are taken to be hostile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dmformer {

// Default limit of width times height. A header is looked at before anything is decoded.
constexpr std::size_t kMaxPixels = 64'000'000;

// uint8 pixels, row by row, the channels of a pixel together. 1 channel is grey, 3 are RGB.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;

  Image() = default;
  Image(int width, int height, int channels, std::uint8_t value = 0);
  // Throws std::runtime_error where the pixels are not width * height * channels, or the channels not 1, 3 or 4.
  Image(int width, int height, int channels, std::vector<std::uint8_t> pixels);

  // Of a temporary they would dangle.
  const std::uint8_t* row(int y) const&& = delete;
  std::uint8_t* row(int y) & { return pixels.data() + static_cast<std::size_t>(y) * width * channels; }
  const std::uint8_t* row(int y) const& { return pixels.data() + static_cast<std::size_t>(y) * width * channels; }
};

// Reads a JPEG or PNG as RGB: grey is repeated, palettes and CMYK are converted, alpha is dropped, 16 bits become 8,
// and the orientation in EXIF or XMP is applied. Throws std::runtime_error that names the file.
Image load_image(const std::string& path, std::size_t max_pixels = kMaxPixels);

// The same from the bytes of a file; `name` is what errors call it.
Image decode_image(const std::vector<std::uint8_t>& bytes, const std::string& name,
                   std::size_t max_pixels = kMaxPixels);

}  // namespace dmformer
