// Which way up an image is: EXIF's tag 0x0112, or XMP's tiff:Orientation where EXIF has none.
#include <string>
#include <utility>

#include "decoders.hpp"

namespace dmformer {
namespace {

constexpr unsigned kOrientationTag = 0x0112;
constexpr unsigned kShort = 3;

class Reader {
 public:
  Reader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  bool starts() {
    if (size_ < 8) return false;
    big_ = data_[0] == 'M';
    return (data_[0] == 'M' && data_[1] == 'M') || (data_[0] == 'I' && data_[1] == 'I');
  }
  bool has(std::size_t at, std::size_t count) const { return at <= size_ && count <= size_ - at; }
  unsigned two(std::size_t at) const {
    return big_ ? data_[at] << 8 | data_[at + 1] : data_[at + 1] << 8 | data_[at];
  }
  std::size_t four(std::size_t at) const {
    const std::size_t first = two(at), second = two(at + 2);
    return big_ ? first << 16 | second : second << 16 | first;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  bool big_ = false;
};

}  // namespace

int exif_orientation(const std::uint8_t* data, std::size_t size) {
  Reader reader(data, size);
  if (!reader.starts()) return 0;
  const std::size_t directory = reader.four(4);
  if (!reader.has(directory, 2)) return 0;
  const unsigned count = reader.two(directory);
  for (unsigned index = 0; index < count; ++index) {
    const std::size_t entry = directory + 2 + std::size_t{12} * index;
    if (!reader.has(entry, 12)) return 0;
    if (reader.two(entry) != kOrientationTag) continue;
    return reader.two(entry + 2) == kShort ? static_cast<int>(reader.two(entry + 8)) : 1;
  }
  return 0;
}

int xmp_orientation(const std::string& text) {
  const std::string word = "tiff:Orientation";
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    std::size_t next = at + word.size();
    if (text.compare(next, 2, "=\"") == 0) {
      next += 2;
    } else if (text.compare(next, 1, ">") == 0) {
      next += 1;
    } else {
      continue;
    }
    if (next < text.size() && text[next] >= '0' && text[next] <= '9') return text[next] - '0';
  }
  return 0;
}

Image upright(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const bool swapped = orientation >= 5;
  Image turned(swapped ? image.height : image.width, swapped ? image.width : image.height, image.channels);
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) {
      int from_x = swapped ? y : x;
      int from_y = swapped ? x : y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {
        from_x = image.width - 1 - from_x;
      }
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) {
        from_y = image.height - 1 - from_y;
      }
      for (int c = 0; c < image.channels; ++c) {
        turned.row(y)[x * image.channels + c] = image.row(from_y)[from_x * image.channels + c];
      }
    }
  }
  return turned;
}

}  // namespace dmformer
