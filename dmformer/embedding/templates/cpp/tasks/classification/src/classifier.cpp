#include "dmformer/classifier.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <stdexcept>

#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace dmformer {
namespace {

// As many images at once as an engine with an open batch is given.
constexpr std::size_t kOpenBatch = 32;

// An 8-bit engine that was made for other instructions would give wrong sums. Only Linux tells what its CPU has.
void check_machine() {
  const std::vector<std::string> flags = parameters::cpu_flags();
  std::ifstream file("/proc/cpuinfo");
  if (flags.empty() || !file) return;
  std::string wanted;
  for (std::string word; file >> word;) {
    if (std::find(flags.begin(), flags.end(), word) != flags.end()) return;
  }
  for (const std::string& flag : flags) wanted += (wanted.empty() ? "" : ", ") + flag;
  throw std::runtime_error("this INT8 engine is for a CPU with one of " + wanted +
                           ": sums would saturate on this one");
}

}  // namespace

Classifier::Classifier(const std::string& folder, int threads) : engine_(folder, threads) { check_machine(); }

std::vector<float> Classifier::logits(const std::vector<parameters::Input>& images) {
  const std::size_t elements = parameters::preprocessing().elements();
  if (images.size() % elements != 0) {
    throw std::runtime_error(std::to_string(images.size()) + " values are no whole number of images of " +
                             std::to_string(elements));
  }
  const std::size_t count = images.size() / elements, classes = parameters::kClasses;
  const std::size_t size = parameters::kBatch > 0 ? parameters::kBatch : kOpenBatch;
  std::vector<float> found(count * classes);
  for (std::size_t start = 0; start < count; start += size) {
    const std::size_t here = std::min(size, count - start);
    if (here == size || parameters::kBatch == 0) {
      engine_.run(images.data() + start * elements, here, found.data() + start * classes);
      continue;
    }
    // The last images do not fill a fixed batch: the rest of it is zeros.
    std::vector<parameters::Input> batch(size * elements);
    std::vector<float> answers(size * classes);
    std::copy_n(images.data() + start * elements, here * elements, batch.data());
    engine_.run(batch.data(), size, answers.data());
    std::copy_n(answers.data(), here * classes, found.data() + start * classes);
  }
  return found;
}

std::vector<Guess> Classifier::predict(const Image& image, int top) {
  const auto found = logits(preprocess<parameters::Input>(image, parameters::preprocessing()));
  return best(found.data(), parameters::kClasses, top);
}

std::vector<Guess> best(const float* logits, int classes, int top) {
  const float largest = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int index = 0; index < classes; ++index) sum += std::exp(double{logits[index]} - largest);
  std::vector<int> order(classes);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [logits](int one, int other) { return logits[one] > logits[other]; });
  std::vector<Guess> guesses;
  for (int rank = 0; rank < std::min(top, classes); ++rank) {
    const int index = order[rank];
    const double share = std::exp(double{logits[index]} - largest) / sum;
    guesses.push_back({index, parameters::label(index), static_cast<float>(share)});
  }
  return guesses;
}

}  // namespace dmformer
