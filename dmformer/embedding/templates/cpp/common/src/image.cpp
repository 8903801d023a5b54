#include "dmformer/image.hpp"

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "decoders.hpp"

namespace dmformer {
namespace {

constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{512} << 20;

Bytes read_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  // Opening a named pipe would block for ever.
  if (!std::filesystem::exists(status)) throw std::runtime_error(path + ": no such file");
  if (!std::filesystem::is_regular_file(status)) throw std::runtime_error(path + ": not a regular file");
  const auto size = std::filesystem::file_size(path, error);
  if (error) throw std::runtime_error(path + ": cannot be read: " + error.message());
  if (size > kMaxFileBytes) throw std::runtime_error(path + ": is larger than 512 MiB");
  Bytes bytes(static_cast<std::size_t>(size));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return bytes;
}

bool begins_with(const Bytes& bytes, std::initializer_list<int> magic) {
  if (bytes.size() < magic.size()) return false;
  std::size_t index = 0;
  for (const int expected : magic) {
    if (bytes[index++] != expected) return false;
  }
  return true;
}

}  // namespace

Image::Image(int width, int height, int channels, std::uint8_t value)
    : width(width),
      height(height),
      channels(channels),
      pixels(static_cast<std::size_t>(width) * height * channels, value) {}

Image::Image(int width, int height, int channels, std::vector<std::uint8_t> given)
    : width(width), height(height), channels(channels), pixels(std::move(given)) {
  if (channels != 1 && channels != 3 && channels != 4) {
    throw std::runtime_error("an image has " + std::to_string(channels) + " channels, not 1, 3 or 4");
  }
  if (width < 1 || height < 1 || pixels.size() != static_cast<std::size_t>(width) * height * channels) {
    throw std::runtime_error("an image has " + std::to_string(pixels.size()) + " bytes, which is not " +
                             std::to_string(width) + "x" + std::to_string(height) + "x" + std::to_string(channels));
  }
}

Image load_image(const std::string& path, std::size_t max_pixels) {
  return decode_image(read_file(path), path, max_pixels);
}

Image decode_image(const std::vector<std::uint8_t>& bytes, const std::string& name, std::size_t max_pixels) {
  if (begins_with(bytes, {0xFF, 0xD8, 0xFF})) {
    Decoded decoded = decode_jpeg(bytes, name, max_pixels);
    return upright(std::move(decoded.image), decoded.orientation);
  }
  if (begins_with(bytes, {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'})) {
    Decoded decoded = decode_png(bytes, name, max_pixels);
    return upright(std::move(decoded.image), decoded.orientation);
  }
  throw std::runtime_error(name + ": is not a JPEG or PNG image");
}

void check_pixels(std::size_t width, std::size_t height, const std::string& name, std::size_t max_pixels) {
  // Formats bound each side to 32 bits, so the product fits 64.
  if (static_cast<std::uint64_t>(width) * height > max_pixels) {
    throw std::runtime_error(name + ": " + std::to_string(width) + "x" + std::to_string(height) +
                             " pixels are more than the limit of " + std::to_string(max_pixels));
  }
}

}  // namespace dmformer
