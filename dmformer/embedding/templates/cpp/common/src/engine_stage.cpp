#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "dmformer/batches.hpp"
#include "dmformer/preprocessing_parameters.h"
#include "stages.hpp"

namespace dmformer {
namespace {

int top1(const float* logits) {
  return static_cast<int>(std::max_element(logits, logits + parameters::kClasses) - logits);
}

}  // namespace

bool engine_agrees(const Golden& golden, Engine& engine) {
  std::vector<parameters::Input> images;
  for (const Sample& sample : golden.samples) images.insert(images.end(), sample.tensor.begin(), sample.tensor.end());
  const auto found = run_all(engine, images);
  double signal = 0, noise = 0, largest = 0, scale = 0;
  int agreeing = 0;
  for (std::size_t index = 0; index < golden.samples.size(); ++index) {
    const auto& expected = golden.samples[index].answer;
    const float* row = found.data() + index * expected.size();
    for (std::size_t c = 0; c < expected.size(); ++c) {
      const double difference = double{row[c]} - expected[c];
      signal += double{expected[c]} * expected[c];
      noise += difference * difference;
      // Not std::max, which would lose a NaN.
      if (!(std::abs(difference) <= largest)) largest = std::abs(difference);
      scale = std::max(scale, std::abs(double{expected[c]}));
    }
    agreeing += top1(row) == top1(expected.data()) ? 1 : 0;
  }
  // An answer of zeros has no signal.
  constexpr double kTiny = std::numeric_limits<double>::min();
  const double sqnr = noise == 0 ? std::numeric_limits<double>::infinity() : 10 * (std::log10(std::max(signal, kTiny)) - std::log10(noise));
  const double agreement = static_cast<double>(agreeing) / golden.samples.size();
  const Tolerance& asked = golden.tolerance;
  bool passed = std::isfinite(largest);
  if (asked.max_abs_error) passed = passed && largest <= *asked.max_abs_error * std::max(1.0, scale);
  if (asked.min_sqnr_db) passed = passed && sqnr >= *asked.min_sqnr_db;
  if (asked.min_agreement) passed = passed && agreement >= *asked.min_agreement;
  return verdict("engine", passed,
                 text("agreement %.2f %%", 100 * agreement) + (noise == 0 ? std::string(", outputs equal") : text(", SQNR %.1f dB", sqnr)) +
                     text(", largest difference %.2e", largest));
}

}  // namespace dmformer
