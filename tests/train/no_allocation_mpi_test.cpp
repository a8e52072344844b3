// Lockstep's own code allocates nothing in a training step.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "comm/world.h"
#include "support/temporary_folder.h"
#include "train/allocation_watch.h"
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
  void train(const std::vector<std::string>& overrides) {
    constexpr std::int64_t samples = 32 * 40 + 13;
    const lockstep::testing::TemporaryFolder folder;  // one for each rank
    const Blueprint blueprint =
        make_blueprint(sample_experiment(write_samples(folder.file("data.h5"), samples), overrides));
    const auto backend = device::make_cpu_backend();
    constexpr std::int64_t threads = 2;
    Trainer trainer(world_, blueprint, *backend, threads, threads);

    std::vector<Allocations> epochs;
    Sinks sinks;
    sinks.push_back(std::make_unique<Watcher>(epochs));
    metrics::RunSummary summary;
    trainer.run(sinks, summary);

    ASSERT_EQ(epochs.size(), 2U);
    for (const Allocations& epoch : epochs) {
      EXPECT_EQ(epoch.own, 0) << epoch.first_own;
      EXPECT_EQ(epoch.libraries.count("libdnnl.so.2") + epoch.libraries.count("libdnnl.so.3"), 1U)
          << "oneDNN allocates in each call, or nothing was watched";
      if (!world_.is_root()) continue;
      for (const auto& [library, count] : epoch.libraries)
        std::cout << "not Lockstep's: " << library << ' ' << count << '\n';
    }
  }

  comm::World world_;
};

TEST_F(NoAllocationOnRanks, InLockstepMode) {
  train({});
}

TEST_F(NoAllocationOnRanks, WithMessages) {
  ::setenv("LOCKSTEP_COLLECTIVE", "mpi", 1);
  train({"data.shuffle=global"});
  ::unsetenv("LOCKSTEP_COLLECTIVE");
}

TEST_F(NoAllocationOnRanks, InRunMode) {
  train({"training.reproducibility=run", "data.shuffle=none"});
}

/// Keeps the compiler from leaving out an allocation that nobody needs.
[[maybe_unused]] const void* volatile seen = nullptr;
void use(const void* memory) {
  seen = memory;
}

TEST(AllocationWatch, FindsWhatLockstepAsksFor) {
  const volatile std::size_t many = 100;
  start_watching();
  EXPECT_EQ(stop_watching().own, 0);

  start_watching();
  use(std::vector<int>(many).data());
  const Allocations direct = stop_watching();
  EXPECT_EQ(direct.own, 1) << direct.first_own;

  start_watching();
  use(fmt::format("{:>{}}", "x", std::size_t{many}).data());
  EXPECT_GE(stop_watching().own, 1) << "it asks for memory in a library's code";

  start_watching();
  void* aligned = std::aligned_alloc(64, 64 * many);
  void* cleared = std::calloc(many, many);
  use(aligned);
  use(cleared);
  EXPECT_EQ(stop_watching().own, 2);
  std::free(aligned);
  std::free(cleared);
}

}  // namespace
}  // namespace lockstep::train
