// What a rank needs, beside what `lockstep plan` says that it would.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

class MemoryTest : public SystemTest {
 protected:
  /// The column "total" of the last rank, in megabytes.
  [[nodiscard]] static double planned(const Words& train, int ranks) {
    Words plan = train;
    plan[0] = "plan";
    plan.insert(plan.begin() + 2, {"--ranks", fmt::format("{}", ranks)});
    const ProcessResult result = run(plan);
    expect_success(result);
    std::smatch found;
    EXPECT_TRUE(std::regex_search(result.out, found, std::regex("([0-9.]+)\n$"))) << result.out;
    return std::stod(found[1]);
  }

  /// What a rank took at most, in megabytes.
  [[nodiscard]] double peak_of(const std::string& name) const {
    constexpr double mb = 1e6;
    return json_of(run_folder(name) + "/summary.json")["peak_memory_bytes"].get<double>() / mb;
  }

  /// Real memory is the plan's, and the program's with its libraries: as much as a small training takes,
  /// which may be a lot where NVIDIA's are among them.
  void expect_planned(const std::string& experiment, const std::string& data) const {
    constexpr double program_least = 10, allowance = 60;
    const Words small = train_shipped("smoke", small_file(), into("small", {"training.epochs=1"}));
    expect_success(run(small));
    const double program = peak_of("small") - planned(small, 1);
    for (const int ranks : {1, 2}) {
      SCOPED_TRACE(fmt::format("{} on {} ranks", experiment, ranks));
      const std::string name = fmt::format("{}_on_{}", experiment, ranks);
      const Words words = train_shipped(experiment, data, into(name, {"training.epochs=1"}));
      const double plan = planned(words, ranks);
      expect_success(run(words, {.ranks = ranks}));
      EXPECT_GE(peak_of(name), plan + program_least);
      EXPECT_LE(peak_of(name), plan + program + allowance);
    }
  }
};

TEST_F(MemoryTest, OfMuchDataIsAsPlanned) {
  expect_planned("mnist_softmax", mnist_file());
}

TEST_F(MemoryTest, OfALargerNetworkIsAsPlanned) {
  expect_planned("mnist_cnn", small_file());
}

}  // namespace
}  // namespace lockstep::testing
