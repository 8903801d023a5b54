// The stages of the self-test.
#pragma once

#include <cstdio>
#include <string>

#include "dmformer/engine.hpp"
#include "golden.hpp"

namespace dmformer {

// Prints the verdict on one stage; the result is whether it passed.
inline bool verdict(const char* stage, bool passed, const std::string& facts) {
  std::printf("%s: %s: %s\n", stage, passed ? "ok" : "DIFFERS", facts.c_str());
  return passed;
}

inline std::string text(const char* pattern, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, pattern, value);
  return buffer;
}

// The engine's answers to the golden tensors, whatever preprocessing makes here, against PyTorch's.
bool engine_agrees(const Golden& golden, Engine& engine);

}  // namespace dmformer
