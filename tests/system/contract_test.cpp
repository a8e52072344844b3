// The lockstep contract on this host: the same experiment gives the same bytes on any number of ranks and
// threads, whatever carries the gradients between the ranks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "system/contract.h"
#include "system/run_files.h"

namespace lockstep::testing {
namespace {

/// Two shards for each of eight ranks, so that all have work for two threads.
const Words more_shards{"training.epochs=2", "training.shards=16"};
const Words other_seed_or_order{"seed=2", "training.shards=8"};

Words until(const std::string& step, Words experiment) {
  experiment.insert(experiment.end(), {"--until", step});
  return experiment;
}

TEST_F(ContractTest, SoftmaxInTheOrderOfTheFile) {
  expect_same_everywhere(train_shipped("mnist_softmax_unshuffled", small_file(), more_shards),
                         every_layout({Carrier::chosen}), other_seed_or_order);
}

TEST_F(ContractTest, SoftmaxShuffledWithinStripesOverTcpAlone) {
  expect_same_everywhere(train_shipped("mnist_softmax", small_file(), more_shards),
                         every_layout({Carrier::tcp}), other_seed_or_order);
}

TEST_F(ContractTest, ConvolutionalNetwork) {
  expect_same_everywhere(until("30", train_shipped("mnist_cnn", small_file(), more_shards)),
                         every_layout({Carrier::chosen, Carrier::tcp}), {});
}

TEST_F(ContractTest, ConvolutionalNetworkOverTheEndOfAnEpoch) {
  expect_same_everywhere(until("84", train_shipped("mnist_cnn", small_file(), more_shards)),
                         {{3, 1, Carrier::messages}, {5, 1, Carrier::tcp}, {8, 1}}, {"training.shards=8"});
}

/// Shards that a worker takes together, eight, four, two or one, for dense layers with large weights.
TEST_F(ContractTest, LargeDenseLayers) {
  expect_same_everywhere(until("32", train_large_layers()), every_layout({Carrier::chosen}), {});
}

/// A wrapper that runs rank 1 with `before` it and `after` it.
Words on_rank_1(const std::string& before, const std::string& after) {
  return {
      "sh", "-c",
      fmt::format("[ \"$OMPI_COMM_WORLD_RANK\" = 1 ] && exec env {} \"$@\" {}; exec \"$@\"", before, after),
      "sh"};
}

TEST_F(ContractTest, RankZeroDecidesWhatIsTrained) {
  const ProcessResult result =
      run(train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=1"})),
          {.ranks = 2, .wrapper = on_rank_1("", "training.epochs=2")});
  expect_success(result);
  EXPECT_EQ(csv_rows(run_folder("run") + "/metrics.csv").size(), 2U) << "a header and an epoch";
}

TEST_F(ContractTest, OddNetworkShuffledOverEverything) {
  std::vector<Layout> layouts = every_layout({Carrier::chosen, Carrier::tcp});
  layouts.push_back({7, 2, Carrier::messages});
  layouts.push_back({16, 1});
  expect_same_everywhere(until("110", train_odd_network()), layouts, other_seed_or_order);
}

}  // namespace
}  // namespace lockstep::testing
