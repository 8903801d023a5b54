// As much of JSON as golden.json needs: objects, arrays, strings, numbers, true, false and null.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace dmformer {

class Json {
 public:
  // Throws std::runtime_error that names the position of what is no JSON.
  static Json parse(const std::string& text);

  bool is_null() const { return kind_ == Kind::kNull; }
  // These throw std::runtime_error where the value is of another kind, or has no such member.
  double number() const;
  const std::string& string() const;
  const std::vector<Json>& items() const;
  const Json& operator[](const std::string& name) const;

 private:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  friend class JsonParser;
  void expect(Kind kind, const char* what) const;

  Kind kind_ = Kind::kNull;
  double number_ = 0;
  std::string string_;
  std::vector<Json> items_;
  std::map<std::string, Json> members_;
};

}  // namespace dmformer
