#include "golden.hpp"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "dmformer/preprocessing.hpp"
#include "json.hpp"

namespace dmformer {
namespace {

constexpr double kMaxSide = 1 << 16;
constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{512} << 20;

std::string read(const std::string& path) {
  std::error_code error;
  // Opening a named pipe would block for ever.
  if (!std::filesystem::is_regular_file(path, error)) throw std::runtime_error(path + ": is missing, or no regular file");
  if (std::filesystem::file_size(path, error) > kMaxFileBytes || error) {
    throw std::runtime_error(path + ": is larger than 512 MiB");
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file.is_open() || file.bad()) throw std::runtime_error(path + ": cannot be read");
  return text.str();
}

// Little-endian numbers, which is how every machine that these runtimes know stores them.
template <typename Value>
std::vector<Value> read_values(const std::string& path, std::size_t count) {
  const std::string bytes = read(path);
  if (bytes.size() != count * sizeof(Value)) {
    throw std::runtime_error(path + ": has " + std::to_string(bytes.size()) + " bytes, not " +
                             std::to_string(count * sizeof(Value)));
  }
  std::vector<Value> values(count);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

int side(const Json& value) {
  const double number = value.number();
  if (!(number >= 1 && number <= kMaxSide)) throw std::runtime_error("a golden image has an impossible size");
  return static_cast<int>(number);
}

std::optional<double> optional(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional<double>(value.number());
}

Sample sample(const Json& entry, const std::string& folder) {
  const std::string pixels = read(folder + "/" + entry["pixels"].string());
  const int width = side(entry["width"]), height = side(entry["height"]);
  const std::size_t answers = parameters::kMap ? static_cast<std::size_t>(width) * height : parameters::kOutputElements;
  return {entry["name"].string(),
          Image(width, height, side(entry["channels"]), std::vector<std::uint8_t>(pixels.begin(), pixels.end())),
          read_values<parameters::Input>(folder + "/" + entry["tensor"].string(),
                                         parameters::preprocessing().elements()),
          read_values<parameters::Output>(folder + "/" + entry[parameters::kMap ? "map" : "logits"].string(), answers)};
}

}  // namespace

Golden load_golden(const std::string& folder) {
  const std::string path = folder + "/golden.json";
  try {
    const Json document = Json::parse(read(path));
    if (document["schema"].string() != "dmformer.golden/1") throw std::runtime_error("its schema is not known");
    Golden golden;
    const Json& tolerance = document["tolerance"];
    for (const Json& allowed : tolerance["tensor"].items()) golden.tolerance.tensor.push_back(allowed.number());
    golden.tolerance.max_abs_error = optional(tolerance["max_abs_error"]);
    golden.tolerance.min_sqnr_db = optional(tolerance["min_sqnr_db"]);
    golden.tolerance.min_agreement = optional(tolerance["min_agreement"]);
    for (const Json& entry : document["samples"].items()) golden.samples.push_back(sample(entry, folder));
    const auto channels = static_cast<std::size_t>(parameters::preprocessing().channels());
    if (golden.samples.empty() || golden.tolerance.tensor.size() != channels) {
      throw std::runtime_error("it has no samples, or another number of channels");
    }
    return golden;
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path + ": " + error.what());
  }
}

}  // namespace dmformer
