// Lockstep's own code allocates nothing in a training step.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "comm/world.h"
#include "device/cpu/fused/choice.h"
#include "io/file_descriptor.h"
#include "metrics/console.h"
#include "support/allocation_watch.h"
#include "support/temporary_folder.h"
#include "train/sample_training.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

using lockstep::testing::Allocations;
using lockstep::testing::sample_experiment;
using lockstep::testing::start_watching;
using lockstep::testing::stop_watching;
using lockstep::testing::write_samples;

/// Watches each epoch from its fourth step to its last, which is smaller than the others.
class Watcher final : public metrics::Sink {
 public:
  explicit Watcher(std::vector<Allocations>& epochs) : epochs_(epochs) {}
  void step(const metrics::StepRecord& record) override {
    constexpr std::int64_t first = 3;
    if (record.step == record.steps) epochs_.push_back(stop_watching());
    if (record.step == first) start_watching();
  }

 private:
  std::vector<Allocations>& epochs_;
};

class NoAllocationOnRanks : public ::testing::Test {
 protected:
  /// 600 units are enough for own kernels to pack.
  void train(std::vector<std::string> overrides, int units = 600, int threads = 2) {
    overrides.push_back("model.7.units=" + std::to_string(units));
    constexpr std::int64_t samples = 32 * 40 + 13;
    const lockstep::testing::TemporaryFolder folder;  // one for each rank
    const Blueprint blueprint =
        make_blueprint(sample_experiment(write_samples(folder.file("data.h5"), samples), overrides));
    const auto backend = device::make_cpu_backend();
    if (units > 600 && device::cpu::fused::processor_suits()) {
      constexpr std::int64_t samples_of_a_shard = 4;
      ASSERT_GT(backend->plan(blueprint.network, samples_of_a_shard, device::Mode::training)->most_together(),
                1);
    }
    WorkerPool workers(threads, device::prepare_cpu_thread);
    Trainer trainer(world_, blueprint, {.backend = *backend, .workers = workers});

    std::vector<Allocations> epochs;
    Sinks sinks;
    double now = 0;
    const io::FileDescriptor nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    // The live line is drawn in every step.
    sinks.push_back(std::make_unique<metrics::Console>(
        nowhere.get(),
        metrics::ConsoleOptions{
            .progress = true, .width = [] { return 200; }, .now = [&now] { return now += 1; }}));
    sinks.push_back(std::make_unique<Watcher>(epochs));
    metrics::RunSummary summary;
    trainer.run(sinks, summary, {});

    ASSERT_EQ(epochs.size(), 2U);
    for (const Allocations& epoch : epochs) {
      EXPECT_EQ(epoch.own, 0) << epoch.first_own;
      const auto onednn = epoch.libraries.lower_bound("libdnnl.so.");  // its number follows: 2, 3.6, …
      EXPECT_TRUE(onednn != epoch.libraries.end() && onednn->first.starts_with("libdnnl.so."))
          << "oneDNN allocates in each call, or nothing was watched";
      if (!world_.is_root()) continue;
      for (const auto& [library, count] : epoch.libraries)
        std::cout << "not Lockstep's: " << library << ' ' << count << '\n';
    }
  }

  comm::World world_;
};

TEST_F(NoAllocationOnRanks, InLockstepMode) {
  train({"checks.arithmetic_every=7"});
}

/// Where there is one rank; others share shards, and have pairs besides if they have one thread.
TEST_F(NoAllocationOnRanks, InGroups) {
  for (const int threads : {1, 2}) train({"model.3.stride=1", "checks.arithmetic_every=7"}, 2700, threads);
}

TEST_F(NoAllocationOnRanks, WithMessages) {
  ::setenv("LOCKSTEP_COLLECTIVE", "mpi", 1);
  train({"data.shuffle=global", "checks.arithmetic_every=1"});
  ::unsetenv("LOCKSTEP_COLLECTIVE");
}

TEST_F(NoAllocationOnRanks, InRunMode) {
  train({"training.reproducibility=run", "data.shuffle=none"});
}

}  // namespace
}  // namespace lockstep::train
