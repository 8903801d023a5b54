// How long an inference takes.
#pragma once

#include "dmformer/engine.hpp"

namespace dmformer {

struct Latency {
  double p50_ms;
  double p90_ms;
  int runs;
  int batch;
};

// Runs the engine on one prepared batch, again and again, after a warm-up. Preprocessing is not in it.
Latency measure(Engine& engine, double seconds);

}  // namespace dmformer
