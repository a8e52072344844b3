// What others reached with these experiments, on real MNIST: tests/system/reference/README.md.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

constexpr std::size_t train_loss = 1, train_accuracy = 2, val_loss = 3, val_accuracy = 4;

class SoftmaxPublishedTest : public SystemTest, public ::testing::WithParamInterface<int> {};

TEST_P(SoftmaxPublishedTest, EveryEpochIsAsTensorFlowHadIt) {
  constexpr double loss_tolerance = 5e-4, accuracy_tolerance = 1.5e-3;
  expect_success(
      run(train_shipped("mnist_softmax_unshuffled", mnist_file(), into("softmax")), {.ranks = GetParam()}));
  const auto published = csv_rows(source("tests/system/reference/mnist_softmax_tensorflow_gpu.csv"));
  const auto rows = csv_rows(run_folder("softmax") + "/metrics.csv");
  ASSERT_EQ(published.size(), 21U) << "a header and twenty epochs";
  ASSERT_EQ(rows.size(), published.size());
  for (std::size_t epoch = 1; epoch < rows.size(); ++epoch) {
    SCOPED_TRACE(fmt::format("epoch {}", epoch));
    EXPECT_EQ(rows[epoch][0], published[epoch][0]);
    for (const std::size_t column : {train_loss, train_accuracy, val_loss, val_accuracy}) {
      EXPECT_EQ(rows[0][column], published[0][column]) << "the same quantity";
      const bool is_loss = column == train_loss || column == val_loss;
      EXPECT_NEAR(std::stod(rows[epoch][column]), std::stod(published[epoch][column]),
                  is_loss ? loss_tolerance : accuracy_tolerance)
          << rows[0][column];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, SoftmaxPublishedTest, ::testing::Values(1, 2, 4));

class CnnPublishedTest : public SystemTest {};

TEST_F(CnnPublishedTest, FirstEpochIsInTheRangeOfAllPublishedRuns) {
  expect_success(run(train_shipped("mnist_cnn", mnist_file(), into("cnn", {"training.epochs=1"})),
                     {.ranks = 2, .timeout = std::chrono::seconds(400)}));
  const auto rows = csv_rows(run_folder("cnn") + "/metrics.csv");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_GE(std::stod(rows[1][train_loss]), 0.28);
  EXPECT_LE(std::stod(rows[1][train_loss]), 0.48);
  EXPECT_GE(std::stod(rows[1][val_accuracy]), 0.97);
  EXPECT_LE(std::stod(rows[1][val_loss]), 0.1);
}

}  // namespace
}  // namespace lockstep::testing
