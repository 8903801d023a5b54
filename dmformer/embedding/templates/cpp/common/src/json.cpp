#include "json.hpp"

#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace dmformer {
namespace {

constexpr int kMaxDepth = 16;

void append_utf8(std::string& text, unsigned code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xE0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace

class JsonParser {
 public:
  explicit JsonParser(const std::string& text) : text_(text) {}

  Json whole() {
    Json value = any(0);
    skip();
    if (at_ != text_.size()) fail();
    return value;
  }

 private:
  [[noreturn]] void fail() const {
    throw std::runtime_error("the JSON is damaged at byte " + std::to_string(at_));
  }
  void skip() {
    while (at_ < text_.size() && std::string(" \t\r\n").find(text_[at_]) != std::string::npos) ++at_;
  }
  bool take(const std::string& word) {
    skip();
    if (text_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }
  void need(const std::string& word) {
    if (!take(word)) fail();
  }

  Json any(int depth) {
    if (depth > kMaxDepth) fail();
    Json value;
    if (take("null")) return value;
    if (take("true") || take("false")) {
      value.kind_ = Json::Kind::kBool;
    } else if (take("\"")) {
      value.kind_ = Json::Kind::kString;
      value.string_ = rest_of_string();
    } else if (take("[")) {
      value.kind_ = Json::Kind::kArray;
      while (!take("]")) {
        if (!value.items_.empty()) need(",");
        value.items_.push_back(any(depth + 1));
      }
    } else if (take("{")) {
      value.kind_ = Json::Kind::kObject;
      while (!take("}")) {
        if (!value.members_.empty()) need(",");
        need("\"");
        std::string name = rest_of_string();
        need(":");
        value.members_.insert_or_assign(std::move(name), any(depth + 1));
      }
    } else {
      value.kind_ = Json::Kind::kNumber;
      value.number_ = number();
    }
    return value;
  }

  double number() {
    char* end = nullptr;
    const double value = std::strtod(text_.c_str() + at_, &end);
    const auto length = static_cast<std::size_t>(end - (text_.c_str() + at_));
    if (length == 0) fail();
    at_ += length;
    return value;
  }

  std::string rest_of_string() {
    std::string found;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] != '\\') {
        found += text_[at_++];
        continue;
      }
      if (++at_ >= text_.size()) fail();
      const char escaped = text_[at_++];
      const auto control = std::string("nrtbf").find(escaped);
      if (escaped == 'u') {
        append_utf8(found, hexadecimal());
      } else {
        found += control == std::string::npos ? escaped : "\n\r\t\b\f"[control];
      }
    }
    if (at_++ >= text_.size()) fail();
    return found;
  }

  unsigned hexadecimal() {
    if (text_.size() - at_ < 4) fail();
    char* end = nullptr;
    const std::string digits = text_.substr(at_, 4);
    const auto value = static_cast<unsigned>(std::strtoul(digits.c_str(), &end, 16));
    if (*end != '\0') fail();
    at_ += 4;
    return value;
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

Json Json::parse(const std::string& text) { return JsonParser(text).whole(); }

void Json::expect(Kind kind, const char* what) const {
  if (kind_ != kind) throw std::runtime_error(std::string("the JSON has something else than ") + what);
}

double Json::number() const {
  expect(Kind::kNumber, "a number");
  return number_;
}

const std::string& Json::string() const {
  expect(Kind::kString, "a string");
  return string_;
}

const std::vector<Json>& Json::items() const {
  expect(Kind::kArray, "an array");
  return items_;
}

const Json& Json::operator[](const std::string& name) const {
  expect(Kind::kObject, "an object");
  const auto found = members_.find(name);
  if (found == members_.end()) throw std::runtime_error("the JSON has no " + name);
  return found->second;
}

}  // namespace dmformer
