// The engine of the bundle: preprocessed images in, what it gives out. engine.cpp is the runtime's.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "dmformer/preprocessing_parameters.h"

namespace dmformer {

class Engine {
 public:
  // `folder` holds the engine's files; 0 threads are the runtime's choice. Throws std::runtime_error.
  Engine(const std::string& folder, int threads);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Runs `count` images: [count, kInputShape] in, [count, kOutputElements] out. An engine with a fixed batch takes that
  // many. Not to be called by two threads at once: give each an Engine.
  void run(const parameters::Input* images, std::size_t count, parameters::Output* outputs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dmformer
