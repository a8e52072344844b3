#include "fma_peak.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fma_peak.cpp"  // NOLINT
// clang-format off: the order matters
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace lockstep::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Twelve independent chains hide the latency of each; they begin differently, or the compiler would see that
/// one is enough. Returns the operations done; the last two parameters keep it from knowing the result.
double multiply_and_add(int steps, float factor, float* result) {
  constexpr int chains = 12;
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, factor);
  hn::Vec<decltype(d)> chain[chains];
  for (int i = 0; i < chains; ++i) chain[i] = hn::Set(d, factor * static_cast<float>(i));
  for (int step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) chain[i] = hn::MulAdd(chain[i], x, x);
  }
  for (int i = 1; i < chains; ++i) chain[0] = hn::Add(chain[0], chain[i]);
  *result = hn::GetLane(chain[0]);
  return 2.0 * chains * steps * static_cast<double>(hn::Lanes(d));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(multiply_and_add);

double fma_peak(int threads) {
  constexpr int repetitions = 30;
  using Clock = std::chrono::steady_clock;
  std::vector<double> operations(static_cast<std::size_t>(threads));
  std::barrier meet(threads);
  double best = 0;
  const auto work = [&](int thread) {
    // Within a normal range: 0.5 is a fixed point of x -> x·0.5 + 0.5 on the way to 1.
    volatile float factor = 0.5F;
    for (int repetition = 0; repetition < repetitions; ++repetition) {
      float result = 0;
      meet.arrive_and_wait();
      const Clock::time_point start = Clock::now();
      operations[static_cast<std::size_t>(thread)] =
          HWY_DYNAMIC_DISPATCH(multiply_and_add)(1'000'000, factor, &result);
      factor = result;
      meet.arrive_and_wait();
      if (thread > 0) continue;
      const std::chrono::duration<double, std::nano> elapsed = Clock::now() - start;
      best = std::max(best, std::accumulate(operations.begin(), operations.end(), 0.0) / elapsed.count());
    }
  };
  std::vector<std::jthread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  return best;
}

}  // namespace lockstep
#endif
