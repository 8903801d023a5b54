// The engine by TensorRT's C++ API, version 10.
#include "dmformer/engine.hpp"

#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"

namespace dmformer {
namespace {

class Logger : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override {
    if (severity <= Severity::kERROR) std::cerr << "TensorRT: " << message << "\n";
  }
};

void check(cudaError_t code, const char* what) {
  if (code != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(code));
}

// Memory on the GPU that grows to what is asked for.
class DeviceBuffer {
 public:
  ~DeviceBuffer() { cudaFree(data_); }
  template <typename Value>
  Value* of(std::size_t count) {
    const std::size_t bytes = count * sizeof(Value);
    if (bytes > bytes_) {
      check(cudaFree(data_), "GPU memory");
      data_ = nullptr;
      bytes_ = 0;
      check(cudaMalloc(&data_, bytes), "GPU memory");
      bytes_ = bytes;
    }
    return static_cast<Value*>(data_);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Every output must lie somewhere, also one that nobody reads. dmformer makes engines with one such at most, of floats.
void place_unread(const nvinfer1::ICudaEngine& engine, nvinfer1::IExecutionContext& context, DeviceBuffer& memory) {
  for (int index = 0; index < engine.getNbIOTensors(); ++index) {
    const std::string name = engine.getIOTensorName(index);
    if (engine.getTensorIOMode(name.c_str()) != nvinfer1::TensorIOMode::kOUTPUT) continue;
    if (name == parameters::kOutputName) continue;
    const nvinfer1::Dims shape = context.getTensorShape(name.c_str());
    std::size_t count = 1;
    for (int axis = 0; axis < shape.nbDims; ++axis) count *= static_cast<std::size_t>(shape.d[axis]);
    if (!context.setTensorAddress(name.c_str(), memory.of<float>(count))) {
      throw std::runtime_error("the engine has other outputs than the parameters say");
    }
  }
}

std::vector<char> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || bytes.empty()) throw std::runtime_error(path + ": cannot be read");
  return bytes;
}

}  // namespace

// Members are destroyed from the last to the first: the context before the engine before the runtime.
struct Engine::State {
  Logger logger;
  std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
  std::unique_ptr<nvinfer1::IExecutionContext> context;
  cudaStream_t stream = nullptr;
  DeviceBuffer input, output, unread;

  ~State() {
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
};

Engine::Engine(const std::string& folder, int) : state_(std::make_unique<State>()) {
  const std::string path = folder + "/" + parameters::kEngineFile;
  const std::vector<char> plan = read(path);
  state_->runtime.reset(nvinfer1::createInferRuntime(state_->logger));
  if (!state_->runtime) throw std::runtime_error("TensorRT cannot be started");
  state_->engine.reset(state_->runtime->deserializeCudaEngine(plan.data(), plan.size()));
  if (!state_->engine) {
    throw std::runtime_error(path + ": TensorRT cannot load it: it was built by another version or for another GPU");
  }
  state_->context.reset(state_->engine->createExecutionContext());
  if (!state_->context) throw std::runtime_error(path + ": there is too little GPU memory to run it");
  check(cudaStreamCreate(&state_->stream), "CUDA stream");
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

void Engine::run(const parameters::Input* images, std::size_t count, parameters::Output* given) {
  static_assert(std::is_same_v<parameters::Input, float>, "dmformer makes no TensorRT engine that takes pixels");
  const auto& spec = parameters::preprocessing();
  const std::size_t inputs = count * spec.elements(), outputs = count * parameters::kOutputElements;
  float* input = state_->input.of<float>(inputs);
  parameters::Output* output = state_->output.of<parameters::Output>(outputs);
  const nvinfer1::Dims4 shape(static_cast<std::int64_t>(count), spec.channels(), spec.height, spec.width);
  auto& context = *state_->context;
  if (!context.setInputShape(parameters::kInputName, shape)) {
    throw std::runtime_error("the engine was not built for a batch of " + std::to_string(count));
  }
  if (!context.setTensorAddress(parameters::kInputName, input) ||
      !context.setTensorAddress(parameters::kOutputName, output)) {
    throw std::runtime_error("the engine has other inputs or outputs than the parameters say");
  }
  place_unread(*state_->engine, context, state_->unread);
  check(cudaMemcpyAsync(input, images, inputs * sizeof(float), cudaMemcpyHostToDevice, state_->stream), "input");
  if (!context.enqueueV3(state_->stream)) throw std::runtime_error("TensorRT cannot run the engine");
  check(cudaMemcpyAsync(given, output, outputs * sizeof(*given), cudaMemcpyDeviceToHost, state_->stream), "output");
  check(cudaStreamSynchronize(state_->stream), "inference");
}

}  // namespace dmformer
