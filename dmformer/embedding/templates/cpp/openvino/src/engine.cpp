// The engine by OpenVINO's C++ API.
#include "dmformer/engine.hpp"

#include <algorithm>
#include <openvino/openvino.hpp>
#include <stdexcept>

#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace dmformer {

struct Engine::State {
  ov::Core core;
  ov::CompiledModel compiled;
  ov::InferRequest request;
};

Engine::Engine(const std::string& folder, int threads) : state_(std::make_unique<State>()) {
  const std::string path = folder + "/" + parameters::kEngineFile;
  ov::AnyMap options{{"PERFORMANCE_HINT", "LATENCY"}};
  for (const auto& [name, value] : parameters::options()) options[name] = value;
  if (threads > 0) options["INFERENCE_NUM_THREADS"] = threads;
  try {
    state_->compiled = state_->core.compile_model(path, "CPU", options);
    state_->request = state_->compiled.create_infer_request();
  } catch (const ov::Exception& error) {
    throw std::runtime_error(path + ": OpenVINO cannot load it: " + error.what());
  }
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

void Engine::run(const parameters::Input* images, std::size_t count, parameters::Output* outputs) {
  ov::Shape shape{count};
  for (const int side : parameters::kInputShape) shape.push_back(static_cast<std::size_t>(side));
  try {
    // The tensor refers to the caller's memory: nothing is copied, and OpenVINO only reads it.
    const auto type = ov::element::from<parameters::Input>();
    state_->request.set_input_tensor(ov::Tensor(type, shape, const_cast<parameters::Input*>(images)));
    state_->request.infer();
    const ov::Tensor output = state_->request.get_output_tensor(parameters::kOutputIndex);
    if (output.get_element_type() != ov::element::from<parameters::Output>() ||
        output.get_size() != count * parameters::kOutputElements) {
      throw std::runtime_error("the engine gives other values than the parameters say");
    }
    std::copy_n(output.data<const parameters::Output>(), output.get_size(), outputs);
  } catch (const ov::Exception& error) {
    throw std::runtime_error(std::string("OpenVINO cannot run the engine: ") + error.what());
  }
}

}  // namespace dmformer
