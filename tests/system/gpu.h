#pragma once

#include <string>

#include "system/system_test.h"

namespace lockstep::testing {

/// How the stand-in for GPUs behaves (tests/cuda_standin/README.md), besides what every test here wants: no
/// handle may be left, and blocks of memory lie close together, which costs less time.
struct StandIn {
  int ranks = 1;
  std::string settings{};  ///< such as "seed=3,devices=2"
  Words wrapper{};         ///< as in Job
};

/// The program with the stand-in for NVIDIA's libraries, trained on imagined GPUs.
class GpuTest : public SystemTest {
 protected:
  /// A shipped experiment on the small data set, into a folder of this test.
  [[nodiscard]] Words train_on_gpus(const std::string& experiment, const std::string& name,
                                    const Words& more = {}) const;
  [[nodiscard]] static ProcessResult run_on_gpus(const Words& words, const StandIn& stand_in = {});
  /// Trains; expects that it goes well.
  void train(const Words& words, const StandIn& stand_in = {}) const;

  /// Bytes of the run's final weights and of its digests.
  [[nodiscard]] std::string outcome(const std::string& name) const;
  /// The largest difference of two runs' final weights, as `lockstep compare` tells it.
  [[nodiscard]] double difference(const std::string& a, const std::string& b) const;
};

}  // namespace lockstep::testing
