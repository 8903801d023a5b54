// self-test: does this program answer like PyTorch, and if not, which stage differs?
//
// Exit codes: 0 it does, 1 it does not, 2 it cannot be told.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>

#include "bench.hpp"
#include "command_line.hpp"
#include "dmformer/batches.hpp"
#include "dmformer/preprocessing.hpp"
#include "dmformer/preprocessing_parameters.h"
#include "golden.hpp"
#include "stages.hpp"

namespace {

using namespace dmformer;

constexpr double kLongestBench = 3600;  // Seconds.
constexpr const char* kUsage =
    "usage: self-test [--project DIR] [--threads N] [--bench SECONDS]\n\n"
    "Compares preprocessing and engine with PyTorch's golden samples; --bench measures the engine afterwards.\n"
    "--project names the folder with engine/ and golden/, which otherwise are beside this program.\n";

struct Options {
  std::string project;
  int threads = 0;
  double bench_seconds = 0;
  bool help = false;
};

Options parse(int count, char** arguments) {
  Options options;
  options.project = folder_of(arguments[0]);
  for (int index = 1; index < count; ++index) {
    const std::string word = arguments[index];
    if (word == "--help" || word == "-h") {
      options.help = true;
      continue;
    }
    if (index + 1 == count) throw std::runtime_error(word + ": is no option, or has no value (see --help)");
    const std::string value = arguments[++index];
    if (word == "--project") {
      options.project = value;
    } else if (word == "--threads") {
      options.threads = number_of(word, value, 0);
    } else if (word == "--bench") {
      options.bench_seconds = std::min(number_of(word, value, 0.0), kLongestBench);
    } else {
      throw std::runtime_error(word + ": is no option (see --help)");
    }
  }
  return options;
}

bool preprocessing_agrees(const Golden& golden) {
  const auto& spec = parameters::preprocessing();
  const std::size_t plane = spec.elements() / spec.channels();
  double worst = 0;  // 1 is what is allowed.
  std::string where;
  for (const Sample& sample : golden.samples) {
    const auto tensor = preprocess<parameters::Input>(sample.image, spec);
    for (std::size_t index = 0; index < tensor.size(); ++index) {
      const std::size_t channel = parameters::kPixels ? index % spec.channels() : index / plane;
      const double difference = static_cast<double>(tensor[index]) - static_cast<double>(sample.tensor[index]);
      const double share = std::abs(difference) / golden.tolerance.tensor[channel];
      if (share > worst || std::isnan(share)) {
        worst = std::isnan(share) ? std::numeric_limits<double>::infinity() : share;
        where = ", in channel " + std::to_string(channel) + " of " + sample.name;
      }
    }
  }
  return verdict("preprocessing", worst <= 1,
                 std::to_string(golden.samples.size()) + " images, worst difference " +
                     text("%.3f steps of 8 bits", worst) + where);
}

int run(const Options& options) {
  const Golden golden = load_golden(options.project + "/golden");
  if (!preprocessing_agrees(golden)) return 1;
  Engine engine = open_engine(options.project + "/engine", options.threads);
  if (!engine_agrees(golden, engine)) return 1;
  if (options.bench_seconds > 0) {
    const Latency latency = measure(engine, options.bench_seconds);
    std::printf("latency: p50 %.4f ms, p90 %.4f ms, batch %d, %d runs\n", latency.p50_ms, latency.p90_ms, latency.batch,
                latency.runs);
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) { return program(count, arguments, kUsage, parse, run); }
