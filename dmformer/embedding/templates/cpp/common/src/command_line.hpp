// What all programs do with words and errors.
#pragma once

#include <cstdio>
#include <exception>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

namespace dmformer {

// The folder that the running program lies in, by the name that it was called by: engine/ and golden/ are beside it.
inline std::string folder_of(const char* name) {
  std::error_code error;
  const std::filesystem::path linux_ = std::filesystem::read_symlink("/proc/self/exe", error);
  return (error ? std::filesystem::absolute(name) : linux_).parent_path().string();
}

// The number that an option was given. Throws std::runtime_error where it is none, or below `least`.
template <typename Number>
Number number_of(const std::string& option, const std::string& value, Number least) {
  std::istringstream stream(value);
  Number found{};
  if (!(stream >> found) || !stream.eof() || found < least) {
    throw std::runtime_error(option + " " + value + ": is no such number");
  }
  return found;
}

// Prints an error as one line, whatever a library put into it; the result is the exit code of wrong input.
inline int complain(const std::exception& error) {
  std::istringstream words(error.what());
  std::string line = "error:";
  for (std::string word; words >> word;) line += " " + word;
  std::fprintf(stderr, "%s\n", line.c_str());
  return 2;
}

// A whole program: `parse` gives Options of its words, `run` its exit code; what either throws is told in one line.
template <typename Options>
int program(int count, char** arguments, const char* usage, Options (*parse)(int, char**), int (*run)(const Options&)) {
  try {
    const Options options = parse(count, arguments);
    if (!options.help) return run(options);
    std::printf("%s", usage);
    return 0;
  } catch (const std::exception& error) {
    return complain(error);
  }
}

}  // namespace dmformer
