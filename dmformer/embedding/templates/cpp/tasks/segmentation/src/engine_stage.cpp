#include <algorithm>
#include <string>
#include <vector>

#include "dmformer/batches.hpp"
#include "dmformer/segmenter.hpp"
#include "stages.hpp"

namespace dmformer {

bool engine_agrees(const Golden& golden, Engine& engine) {
  std::size_t equal = 0, pixels = 0;
  for (const Sample& sample : golden.samples) {
    const auto given = run_all(engine, sample.tensor);
    const Segmentation found = at_pixels(given.data(), sample.image.width, sample.image.height);
    for (std::size_t at = 0; at < found.classes.size(); ++at) equal += found.classes[at] == sample.answer[at] ? 1 : 0;
    pixels += found.classes.size();
  }
  const double share = static_cast<double>(equal) / pixels;
  const bool passed = !golden.tolerance.min_agreement || share >= *golden.tolerance.min_agreement;
  return verdict("engine", passed,
                 text("%.4f %% of ", 100 * share) + std::to_string(pixels) + " pixels have PyTorch's class");
}

}  // namespace dmformer
