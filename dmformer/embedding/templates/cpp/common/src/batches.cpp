#include "dmformer/batches.hpp"

#include <algorithm>
#include <fstream>
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

Engine open_engine(const std::string& folder, int threads) {
  check_machine();
  return Engine(folder, threads);
}

std::vector<parameters::Output> run_all(Engine& engine, const std::vector<parameters::Input>& images) {
  const std::size_t elements = parameters::preprocessing().elements();
  if (images.size() % elements != 0) {
    throw std::runtime_error(std::to_string(images.size()) + " values are no whole number of images of " +
                             std::to_string(elements));
  }
  const std::size_t count = images.size() / elements, values = parameters::kOutputElements;
  const std::size_t size = parameters::kBatch > 0 ? parameters::kBatch : kOpenBatch;
  std::vector<parameters::Output> found(count * values);
  for (std::size_t start = 0; start < count; start += size) {
    const std::size_t here = std::min(size, count - start);
    if (here == size || parameters::kBatch == 0) {
      engine.run(images.data() + start * elements, here, found.data() + start * values);
      continue;
    }
    // The last images do not fill a fixed batch: the rest of it is zeros.
    std::vector<parameters::Input> batch(size * elements);
    std::vector<parameters::Output> answers(size * values);
    std::copy_n(images.data() + start * elements, here * elements, batch.data());
    engine.run(batch.data(), size, answers.data());
    std::copy_n(answers.data(), here * values, found.data() + start * values);
  }
  return found;
}

}  // namespace dmformer
