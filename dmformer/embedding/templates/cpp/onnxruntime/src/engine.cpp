// The engine by ONNX Runtime's C++ API.
#include "dmformer/engine.hpp"

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <stdexcept>

#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace dmformer {
namespace {

Ort::SessionOptions session_options(int threads) {
  Ort::SessionOptions options;
  options.SetGraphOptimizationLevel(GraphOptimizationLevel::ORT_ENABLE_ALL);
  options.SetIntraOpNumThreads(threads);
  return options;
}

}  // namespace

struct Engine::State {
  Ort::Env environment{ORT_LOGGING_LEVEL_ERROR, "dmformer"};
  Ort::Session session{nullptr};
  Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
};

Engine::Engine(const std::string& folder, int threads) : state_(std::make_unique<State>()) {
  const std::filesystem::path path = std::filesystem::path(folder) / parameters::kEngineFile;
  state_->environment.DisableTelemetryEvents();
  try {
    state_->session = Ort::Session(state_->environment, path.c_str(), session_options(threads));
  } catch (const Ort::Exception& error) {
    throw std::runtime_error(path.string() + ": ONNX Runtime cannot load it: " + error.what());
  }
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

void Engine::run(const parameters::Input* images, std::size_t count, parameters::Output* given) {
  const auto& sides = parameters::kInputShape;
  const std::array<std::int64_t, 4> shape{static_cast<std::int64_t>(count), sides[0], sides[1], sides[2]};
  const std::size_t elements = count * parameters::preprocessing().elements();
  const char* const inputs[] = {parameters::kInputName};
  const char* const outputs[] = {parameters::kOutputName};
  try {
    // The value refers to the caller's memory: nothing is copied, and ONNX Runtime only reads it.
    const Ort::Value input = Ort::Value::CreateTensor<parameters::Input>(
        state_->memory, const_cast<parameters::Input*>(images), elements, shape.data(), shape.size());
    const auto found = state_->session.Run(Ort::RunOptions{nullptr}, inputs, &input, 1, outputs, 1);
    const std::size_t size = found.front().GetTensorTypeAndShapeInfo().GetElementCount();
    if (size != count * parameters::kOutputElements) {
      throw std::runtime_error("the engine gives other values than the parameters say");
    }
    std::copy_n(found.front().GetTensorData<parameters::Output>(), size, given);
  } catch (const Ort::Exception& error) {
    throw std::runtime_error(std::string("ONNX Runtime cannot run the engine: ") + error.what());
  }
}

}  // namespace dmformer
