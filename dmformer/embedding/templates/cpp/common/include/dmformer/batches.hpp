// Any number of images through an engine, whatever batch it takes.
#pragma once

#include <string>
#include <vector>

#include "dmformer/engine.hpp"

namespace dmformer {

// The engine of a folder, where this machine can run it; 0 threads are the runtime's choice. Throws std::runtime_error.
Engine open_engine(const std::string& folder, int threads = 0);

// What the engine gives for preprocessed images: [N, kInputShape] in, [N, kOutputElements] out, for any N.
std::vector<parameters::Output> run_all(Engine& engine, const std::vector<parameters::Input>& images);

}  // namespace dmformer
