#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "support/process.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

ProcessResult run(const std::string& scenario, const std::string& kind, int seed) {
  const std::vector<std::string> program = {RACE_SCENARIOS, scenario, kind, std::to_string(seed)};
  const ProcessOptions options{.environment = {{"TSAN_OPTIONS", "exitcode=66"}, {"LOCKSTEP_STANDIN", ""}}};
  ProcessResult result = run_process(program, options);
  // ThreadSanitizer does not cope with all ways to scatter addresses.
  if (result.err.find("unexpected memory mapping") != std::string::npos) {
    std::vector<std::string> orderly = {"setarch", "-R"};
    orderly.insert(orderly.end(), program.begin(), program.end());
    result = run_process(orderly, options);
  }
  return result;
}

struct Race {
  std::string scenario;
  std::vector<std::string> both;  ///< what the report has to name
};

void PrintTo(const Race& race, std::ostream* out) {
  *out << race.scenario;
}

class RaceTest : public ::testing::TestWithParam<Race> {};

TEST_P(RaceTest, SilentWhereAllIsOrdered) {
  for (const int seed : {0, 1, 2, 3}) {
    const ProcessResult result = run(GetParam().scenario, "sound", seed);
    EXPECT_EQ(result.status, 0) << "seed " << seed;
    EXPECT_EQ(result.err, "") << "seed " << seed;
  }
}

TEST_P(RaceTest, ReportedWithBothOperations) {
  for (const int seed : {0, 1, 2, 3}) {
    const ProcessResult result = run(GetParam().scenario, "broken", seed);
    EXPECT_EQ(result.status, 66) << "seed " << seed << "\n" << result.err;
    EXPECT_THAT(result.err, HasSubstr("data race")) << "seed " << seed;
    for (const std::string& name : GetParam().both)
      EXPECT_THAT(result.err, HasSubstr(name)) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Scenarios, RaceTest,
                         ::testing::Values(Race{"streams", {"TreeSum"}},
                                           Race{"early_wait", {"TreeSum", "cudaMemcpyAsync"}},
                                           Race{"read_back", {"cudaMemcpyAsync", "read_back"}},
                                           Race{"refill", {"cudaMemcpyAsync", "refill"}},
                                           Race{"release", {"memset", "TreeSum"}}, Race{"graph", {"TreeSum"}},
                                           Race{"train", {"operator()"}},
                                           Race{"all_reduce", {"cudaMemcpyAsync", "nccl::Operation"}}),
                         [](const auto& race) { return race.param.scenario; });

}  // namespace
}  // namespace lockstep::testing
