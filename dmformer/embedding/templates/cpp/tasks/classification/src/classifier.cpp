#include "dmformer/classifier.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "dmformer/batches.hpp"
#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace dmformer {

Classifier::Classifier(const std::string& folder, int threads) : engine_(open_engine(folder, threads)) {}

std::vector<float> Classifier::logits(const std::vector<parameters::Input>& images) { return run_all(engine_, images); }

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
