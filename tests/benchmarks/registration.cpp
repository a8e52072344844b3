#include "registration.h"

#include <benchmark/benchmark.h>

#include <random>

#include "fma_peak.h"

namespace lockstep {

using benchmark::Counter;

AlignedBuffer<float> random_floats(std::int64_t count) {
  std::mt19937 generator(1);
  AlignedBuffer<float> values(static_cast<std::size_t>(count));
  for (float& value : values.span())
    value = static_cast<float>(static_cast<std::int32_t>(generator())) * 0x1p-31F;
  return values;
}

double measured_peak() {
  static const double measured = fma_peak();
  return measured;
}

void add_arithmetic(const std::string& name, double operations, double done_share,
                    const std::function<void()>& run) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    for (auto _ : state) run();
    const auto rate = [](double value) {
      return Counter(value, Counter::kIsIterationInvariantRate, Counter::kIs1000);
    };
    state.counters["FLOP/s"] = rate(operations);
    state.counters["of_peak"] = rate(operations / (1e9 * measured_peak()));
    state.counters["done_of_peak"] = rate(operations * done_share / (1e9 * measured_peak()));
  })->Unit(benchmark::kMicrosecond);
}

void add_packing(const std::string& name, std::int64_t bytes, const std::function<void()>& run) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    for (auto _ : state) run();
    state.counters["B/s"] =
        Counter(static_cast<double>(bytes), Counter::kIsIterationInvariantRate, Counter::kIs1000);
  })->Unit(benchmark::kMicrosecond);
}

}  // namespace lockstep
