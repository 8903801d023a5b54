// An image in, classes out.
#pragma once

#include <string>
#include <vector>

#include "dmformer/engine.hpp"
#include "dmformer/image.hpp"

namespace dmformer {

struct Guess {
  int index;
  std::string label;
  float probability;  // 0 to 1.
};

class Classifier {
 public:
  // `folder` is the engine's; 0 threads are the runtime's choice.
  explicit Classifier(const std::string& folder, int threads = 0);

  // The `top` most likely classes, best first. Throws std::runtime_error.
  std::vector<Guess> predict(const Image& image, int top = 5);

  // Logits of preprocessed images: [N, kInputShape] in, float32 [N, classes] out, for any N.
  std::vector<float> logits(const std::vector<parameters::Input>& images);

 private:
  Engine engine_;
};

// The `top` largest of `classes` logits, as probabilities over all of them.
std::vector<Guess> best(const float* logits, int classes, int top);

}  // namespace dmformer
