// The engine of the bundle: tensors in, logits out. engine.cpp is the runtime's.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace dmformer {

class Engine {
 public:
  // `folder` holds the engine's files; 0 threads are the runtime's choice. Throws std::runtime_error.
  Engine(const std::string& folder, int threads);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Runs `count` images: float32 [count, C, H, W] in, float32 [count, classes] out. An engine with a fixed batch takes
  // that many. Not to be called by two threads at once: give each an Engine.
  void run(const float* tensors, std::size_t count, float* logits);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dmformer
