// PNG by libpng.
#include <png.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "decoders.hpp"

namespace dmformer {
namespace {

struct Source {
  const Bytes& bytes;
  std::size_t at = 0;
};

void read_bytes(png_structp png, png_bytep to, png_size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->bytes.size() - source->at) png_error(png, "the image file is truncated");
  std::memcpy(to, source->bytes.data() + source->at, count);
  source->at += count;
}

// A C library must not be left by a C++ exception: this keeps the words and jumps, and the caller throws.
[[noreturn]] void fail(png_structp png, png_const_charp message) {
  *static_cast<std::string*>(png_get_error_ptr(png)) = message;
  png_longjmp(png, 1);
}

void warn(png_structp, png_const_charp) {}

// 16-bit grey is rounded to 8 bits, or taken as it is where the whole picture needs no more; everything else of 16 bits
// is cut to its high byte, as Pillow does.
std::uint8_t eight_bits(const std::uint8_t* sample, bool small) {
  return small ? sample[1] : static_cast<std::uint8_t>(((sample[0] << 8 | sample[1]) + 128) / 257);
}

class Decompressor {
 public:
  Decompressor(const Bytes& bytes, const std::string& name) : source_{bytes}, name_(name) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &message_, fail, warn);
    info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::runtime_error(name + ": libpng cannot be used: another version than it was compiled with");
    }
    png_set_read_fn(png_, &source_, read_bytes);
  }
  ~Decompressor() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  void read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) stop();
    png_set_user_limits(png_, 0x7FFFFFFF, 0x7FFFFFFF);
    png_read_info(png_, info_);
    const auto type = png_get_color_type(png_, info_);
    sixteen_bit_grey_ = type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png_, info_) == 16;
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png_);
    if (!sixteen_bit_grey_) png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    png_set_interlace_handling(png_);
  }

  // The buffers are the caller's, so that a jump leaves nothing undestroyed.
  void read_rows(Bytes& buffer, std::vector<png_bytep>& rows, std::size_t max_bytes) {
    if (setjmp(png_jmpbuf(png_)) != 0) stop();
    png_read_update_info(png_, info_);
    const std::size_t bytes = png_get_rowbytes(png_, info_), height = png_get_image_height(png_, info_);
    if (bytes * height > max_bytes) png_error(png_, "its rows are longer than its header says");
    buffer.resize(bytes * height);
    rows.resize(height);
    for (std::size_t y = 0; y < height; ++y) rows[y] = buffer.data() + y * bytes;
    png_read_image(png_, rows.data());
    png_read_end(png_, info_);
  }

  void convert(const Bytes& buffer, Image& image) const {
    const std::size_t count = static_cast<std::size_t>(image.width) * image.height;
    const int step = sixteen_bit_grey_ ? 2 : png_get_channels(png_, info_);
    bool small = sixteen_bit_grey_;
    for (std::size_t index = 0; small && index < count; ++index) small = buffer[index * 2] == 0;
    for (std::size_t index = 0; index < count; ++index) {
      const std::uint8_t* from = buffer.data() + index * step;
      std::uint8_t* to = image.pixels.data() + index * 3;
      for (int c = 0; c < 3; ++c) to[c] = sixteen_bit_grey_ ? eight_bits(from, small) : from[step == 3 ? c : 0];
    }
  }

  std::size_t width() const { return png_get_image_width(png_, info_); }
  std::size_t height() const { return png_get_image_height(png_, info_); }

  int orientation() {
    png_bytep exif = nullptr;
    png_uint_32 size = 0;
    int found = 0;
    if (png_get_eXIf_1(png_, info_, &size, &exif) != 0) found = exif_orientation(exif, size);
    png_textp texts = nullptr;
    int count = 0;
    png_get_text(png_, info_, &texts, &count);
    for (int index = 0; index < count && found == 0; ++index) {
      const bool xmp = std::strcmp(texts[index].key, "XML:com.adobe.xmp") == 0;
      if (xmp && texts[index].text != nullptr) found = xmp_orientation(texts[index].text);
    }
    return found == 0 ? 1 : found;
  }

 private:
  [[noreturn]] void stop() { throw std::runtime_error(name_ + ": cannot be read: " + message_); }

  Source source_;
  const std::string& name_;
  std::string message_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  bool sixteen_bit_grey_ = false;
};

}  // namespace

Decoded decode_png(const Bytes& bytes, const std::string& name, std::size_t max_pixels) {
  Decompressor decompressor(bytes, name);
  decompressor.read_header();
  check_pixels(decompressor.width(), decompressor.height(), name, max_pixels);
  const std::size_t max_bytes = decompressor.width() * decompressor.height() * 4;
  Bytes buffer;
  std::vector<png_bytep> rows;
  decompressor.read_rows(buffer, rows, max_bytes);
  Decoded decoded{Image(static_cast<int>(decompressor.width()), static_cast<int>(decompressor.height()), 3), 1};
  decompressor.convert(buffer, decoded.image);
  decoded.orientation = decompressor.orientation();
  return decoded;
}

}  // namespace dmformer
