#include "bench.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace dmformer {

Latency measure(Engine& engine, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto milliseconds = [](Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  const int batch = std::max(1, parameters::kBatch);
  const auto grey = static_cast<parameters::Input>(parameters::kPixels ? 128 : 0.5);
  const std::vector<parameters::Input> images(batch * parameters::preprocessing().elements(), grey);
  std::vector<parameters::Output> outputs(batch * parameters::kOutputElements);
  std::vector<double> times;
  const auto begin = Clock::now();
  bool warm = false;
  while (times.empty() || milliseconds(Clock::now() - begin) < 1000 * seconds) {
    const auto start = Clock::now();
    engine.run(images.data(), batch, outputs.data());
    times.push_back(milliseconds(Clock::now() - start));
    if (!warm && milliseconds(Clock::now() - begin) > 200 * seconds) {
      warm = true;
      times.clear();
    }
  }
  std::sort(times.begin(), times.end());
  const auto at = [&times](double share) { return times[static_cast<std::size_t>(share * (times.size() - 1))]; };
  return {at(0.5), at(0.9), static_cast<int>(times.size()), batch};
}

}  // namespace dmformer
