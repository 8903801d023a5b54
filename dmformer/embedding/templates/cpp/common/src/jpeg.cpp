// JPEG by libjpeg-turbo with its defaults (accurate integer DCT, smooth upsampling), which are Pillow's too.
#include <cstdio>
// jpeglib.h needs FILE before it.
#include <jpeglib.h>
#include <jerror.h>

#include <csetjmp>
#include <cstring>
#include <stdexcept>
#include <string>

#include "decoders.hpp"

namespace dmformer {
namespace {

struct Errors {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

// A C library must not be left by a C++ exception: these jump, and the caller throws.
[[noreturn]] void fail(j_common_ptr info) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

// Odd metadata is no matter; an end that comes too early is: libjpeg would fill up with grey.
void warn(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) {
    auto* errors = reinterpret_cast<Errors*>(info->err);
    std::strcpy(errors->message, "the image file is truncated");
    std::longjmp(errors->jump, 1);
  }
}

bool marked(const jpeg_saved_marker_ptr marker, const std::string& prefix) {
  return marker->marker == JPEG_APP0 + 1 && marker->data_length > prefix.size() &&
         std::memcmp(marker->data, prefix.data(), prefix.size()) == 0;
}

int orientation_of(const jpeg_decompress_struct& info) {
  const std::string exif("Exif\0\0", 6), xmp("http://ns.adobe.com/xap/1.0/\0", 29);
  int found = 0;
  for (auto marker = info.marker_list; marker != nullptr; marker = marker->next) {
    if (found == 0 && marked(marker, exif)) {
      found = exif_orientation(marker->data + exif.size(), marker->data_length - exif.size());
    }
  }
  for (auto marker = info.marker_list; marker != nullptr && found == 0; marker = marker->next) {
    if (marked(marker, xmp)) {
      found = xmp_orientation(std::string(reinterpret_cast<char*>(marker->data), marker->data_length));
    }
  }
  return found == 0 ? 1 : found;
}

std::uint8_t product(int one, int other) {
  const int value = one * other + 128;
  return static_cast<std::uint8_t>(((value >> 8) + value) >> 8);
}

// One row of decoded samples as RGB. Four-channel files are taken to be Adobe's, which store CMYK inverted.
void to_rgb(const std::uint8_t* from, std::uint8_t* to, int width, int components) {
  for (int x = 0; x < width; ++x, from += components, to += 3) {
    for (int c = 0; c < 3; ++c) {
      if (components == 1) {
        to[c] = from[0];
      } else if (components == 3) {
        to[c] = from[c];
      } else {
        const int light = from[3];
        const int value = light - product(255 - from[c], light);
        to[c] = static_cast<std::uint8_t>(value < 0 ? 0 : value);
      }
    }
  }
}

class Decompressor {
 public:
  Decompressor(const Bytes& bytes, const std::string& name) : bytes_(bytes), name_(name) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = fail;
    errors_.base.emit_message = warn;
    if (setjmp(errors_.jump) != 0) stop();
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, bytes_.data(), static_cast<unsigned long>(bytes_.size()));
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
  }
  ~Decompressor() { jpeg_destroy_decompress(&info_); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  void read_header() {
    if (setjmp(errors_.jump) != 0) stop();
    jpeg_read_header(&info_, TRUE);
    if (info_.num_components == 4) {
      info_.out_color_space = JCS_CMYK;
    } else {
      info_.out_color_space = info_.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    }
  }

  // `line` and `image` are the caller's, so that a jump leaves nothing undestroyed.
  void read_rows(Bytes& line, Image& image) {
    if (setjmp(errors_.jump) != 0) stop();
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      std::uint8_t* row = line.data();
      const int y = static_cast<int>(info_.output_scanline);
      if (jpeg_read_scanlines(&info_, &row, 1) != 1) break;
      to_rgb(line.data(), image.row(y), image.width, info_.output_components);
    }
    jpeg_finish_decompress(&info_);
  }

  jpeg_decompress_struct& info() { return info_; }

 private:
  [[noreturn]] void stop() { throw std::runtime_error(name_ + ": cannot be read: " + errors_.message); }

  const Bytes& bytes_;
  const std::string& name_;
  jpeg_decompress_struct info_{};
  Errors errors_{};
};

}  // namespace

Decoded decode_jpeg(const Bytes& bytes, const std::string& name, std::size_t max_pixels) {
  Decompressor decompressor(bytes, name);
  decompressor.read_header();
  const auto& info = decompressor.info();
  check_pixels(info.image_width, info.image_height, name, max_pixels);
  Decoded decoded{Image(static_cast<int>(info.image_width), static_cast<int>(info.image_height), 3),
                  orientation_of(info)};
  Bytes line(std::size_t{info.image_width} * 4);
  decompressor.read_rows(line, decoded.image);
  return decoded;
}

}  // namespace dmformer
