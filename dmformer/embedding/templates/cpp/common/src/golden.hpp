// The golden samples: images, what preprocessing makes of them, and what PyTorch answers in FP32.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dmformer/image.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace dmformer {

struct Sample {
  std::string name;
  Image image;
  std::vector<parameters::Input> tensor;  // What the engine takes.
  std::vector<parameters::Output> answer;  // Logits [classes], or the class of every pixel of the image [height, width].
};

// What an engine must keep; what is absent is not judged.
struct Tolerance {
  std::vector<double> tensor;  // Per channel, in units of what the engine takes: one step of 8 bits.
  std::optional<double> max_abs_error;  // Relative to the largest absolute logit or 1, whichever is greater.
  std::optional<double> min_sqnr_db;
  std::optional<double> min_agreement;
};

struct Golden {
  Tolerance tolerance;
  std::vector<Sample> samples;
};

// Throws std::runtime_error where the samples are damaged or not of the parameters' shapes.
Golden load_golden(const std::string& folder);

}  // namespace dmformer
