// `reproducibility: run` gives up the one order of additions for MPI's all-reduce, and nothing else.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

class RunModeTest : public SystemTest {
 protected:
  /// Rows of the metrics after two epochs on three ranks.
  [[nodiscard]] std::vector<std::vector<std::string>> train(const std::string& experiment,
                                                            const std::string& mode) const {
    const Words overrides{"training.reproducibility=" + mode, "training.epochs=2"};
    const ProcessResult result =
        run(train_shipped(experiment, small_file(), into(mode, overrides)), {.ranks = 3});
    expect_success(result);
    EXPECT_EQ(result.out.find("exchange   MPI_Allreduce") != std::string::npos, mode == "run") << result.out;
    return csv_rows(run_folder(mode) + "/metrics.csv");
  }

  void expect_alike(const std::string& experiment) const {
    const auto in_order = train(experiment, "lockstep");
    const auto in_any = train(experiment, "run");
    ASSERT_EQ(in_any.size(), 3U);
    for (std::size_t epoch = 1; epoch < in_any.size(); ++epoch)
      for (std::size_t column = 0; column < 6; ++column)
        EXPECT_NEAR(std::stod(in_any[epoch][column]), std::stod(in_order[epoch][column]), 1e-3)
            << "epoch " << epoch << ", " << in_any[0][column];
  }
};

TEST_F(RunModeTest, SgdTrainsLikeLockstep) {
  expect_alike("mnist_softmax");
}

TEST_F(RunModeTest, AdamWTrainsLikeLockstep) {
  expect_alike("smoke");
}

}  // namespace
}  // namespace lockstep::testing
