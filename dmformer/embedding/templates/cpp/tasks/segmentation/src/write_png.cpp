// Pictures as files, by libpng.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "dmformer/preprocessing_parameters.h"
#include "dmformer/segmenter.hpp"

namespace dmformer {
namespace {

struct Format {
  int depth;
  int kind;
};

// Rows as libpng takes them. Nothing with a destructor is made between setjmp and what may jump back there.
bool write_rows(std::FILE* file, int width, int height, Format format, const std::vector<png_color>& palette,
                const std::vector<const png_byte*>& rows) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  if (info == nullptr || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_init_io(png, file);
  png_set_IHDR(png, info, width, height, format.depth, format.kind, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  png_write_info(png, info);
  for (const png_byte* row : rows) png_write_row(png, row);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return true;
}

void write(const std::string& path, int width, int height, Format format, const std::vector<png_color>& palette,
           const std::vector<std::uint8_t>& bytes) {
  std::vector<const png_byte*> rows;
  for (int y = 0; y < height; ++y) rows.push_back(bytes.data() + bytes.size() / height * y);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  if (file == nullptr || !write_rows(file.get(), width, height, format, palette, rows) || std::fflush(file.get()) != 0) {
    throw std::runtime_error(path + ": cannot be written");
  }
}

}  // namespace

void write_png(const std::string& path, const Image& image) {
  if (image.channels != 3) throw std::runtime_error(path + ": only images of 3 channels are written");
  write(path, image.width, image.height, {8, PNG_COLOR_TYPE_RGB}, {}, image.pixels);
}

void write_png(const std::string& path, const Segmentation& segmentation) {
  std::vector<png_color> palette;
  std::vector<std::uint8_t> bytes;
  const bool small = parameters::kClasses <= 256;
  for (int index = 0; small && index < parameters::kClasses; ++index) {
    const auto& colour = parameters::colour(index);
    palette.push_back({colour[0], colour[1], colour[2]});
  }
  for (const auto index : segmentation.classes) {
    if (!small) bytes.push_back(static_cast<std::uint8_t>(int{index} >> 8));
    bytes.push_back(static_cast<std::uint8_t>(index & 255));
  }
  const Format format = small ? Format{8, PNG_COLOR_TYPE_PALETTE} : Format{16, PNG_COLOR_TYPE_GRAY};
  write(path, segmentation.width, segmentation.height, format, palette, bytes);
}

}  // namespace dmformer
