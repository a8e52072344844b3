// The lockstep contract: the same experiment gives the same bytes on any number of ranks and threads,
// whatever carries the gradients between the ranks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

struct Layout {
  int ranks;
  int threads;  // of each rank
  const char* collective;
};

constexpr const char* shared_memory = "";  // what Lockstep chooses itself on one host
constexpr const char* by_messages = "mpi";

/// What a training leaves that must not depend on its layout.
struct Outcome {
  std::string weights;
  std::string metrics;
  std::string digests;
};

/// Up to as many ranks as there are shards, each of which then has work for one thread only.
std::vector<Layout> every_layout() {
  std::vector<Layout> layouts{{1, 2, shared_memory}};
  for (const char* collective : {shared_memory, by_messages}) {
    for (const int ranks : {2, 3, 4})
      for (const int threads : {1, 2}) layouts.push_back({ranks, threads, collective});
    for (const int ranks : {5, 7, 8}) layouts.push_back({ranks, 1, collective});
  }
  return layouts;
}

class ContractTest : public SystemTest {
 protected:
  /// `experiment` as for `lockstep train`.
  Outcome train(Words experiment, const Layout& layout) {
    const std::string name = fmt::format("{}", ++runs_);
    for (const std::string& word : into(name, {fmt::format("device.threads={}", layout.threads)}))
      experiment.push_back(word);
    const ProcessResult result =
        run(experiment, {.ranks = layout.ranks,
                         .always_mpirun = layout.threads > 1,
                         .environment = {{"LOCKSTEP_COLLECTIVE", layout.collective}}});
    expect_success(result);
    if (layout.ranks > 1) {
      const std::string carrier = layout.collective == shared_memory ? "shared memory" : "mpi";
      EXPECT_NE(result.out.find("exchange   " + carrier), std::string::npos) << result.out;
    }
    return {contents(run_folder(name) + "/final_weights.h5"),
            computed_columns(run_folder(name) + "/metrics.csv"), contents(run_folder(name) + "/digests.csv")};
  }

  /// Every layout gives what one rank with one thread gives; other seeds and another order of additions do
  /// not, so that there is something to notice.
  void expect_same_everywhere(const Words& experiment, const std::vector<Layout>& layouts,
                              const std::string& another_order = "training.shards=4") {
    const Layout plainest{1, 1, shared_memory};
    const Outcome expected = train(experiment, plainest);
    ASSERT_GT(expected.weights.size(), 1000U);
    ASSERT_GE(std::count(expected.metrics.begin(), expected.metrics.end(), '\n'), 2);
    for (const Layout& layout : layouts) {
      SCOPED_TRACE(fmt::format("{} ranks of {} threads {}", layout.ranks, layout.threads, layout.collective));
      const Outcome outcome = train(experiment, layout);
      EXPECT_TRUE(outcome.weights == expected.weights) << "the weights differ";
      EXPECT_EQ(outcome.metrics, expected.metrics);
      EXPECT_EQ(outcome.digests, expected.digests);
    }
    for (const std::string& change : {std::string("seed=2"), another_order}) {
      SCOPED_TRACE(change);
      Words changed = experiment;
      changed.push_back(change);
      const Outcome outcome = train(changed, plainest);
      EXPECT_FALSE(outcome.weights == expected.weights) << "nothing would be noticed";
      EXPECT_NE(outcome.metrics, expected.metrics);
      EXPECT_NE(outcome.digests, expected.digests);
    }
  }

 private:
  int runs_ = 0;
};

TEST_F(ContractTest, SoftmaxInTheOrderOfTheFile) {
  expect_same_everywhere(train_shipped("mnist_softmax_unshuffled", small_file(), {"training.epochs=2"}),
                         every_layout());
}

TEST_F(ContractTest, SoftmaxShuffledWithinStripes) {
  expect_same_everywhere(train_shipped("mnist_softmax", small_file(), {"training.epochs=2"}), every_layout());
}

TEST_F(ContractTest, ConvolutionalNetwork) {
  expect_same_everywhere(
      train_shipped("mnist_cnn", small_file(), {"training.epochs=1"}),
      {{1, 2, shared_memory}, {2, 1, shared_memory}, {3, 1, by_messages}, {8, 1, shared_memory}});
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

/// Everything that the shipped experiments leave out, in sizes that divide by nothing.
constexpr const char* odd_network = R"(
name: odd
seed: 1
data:
  train: {{file: {0}, images: /train/images, labels: /train/labels}}
  validation: {{file: {0}, images: /test/images, labels: /test/labels}}
  scale: 0.00392156862745098
  shuffle: global
model:
  - conv2d: {{filters: 5, kernel: [3, 5], stride: 2, padding: same}}
  - tanh
  - avg_pool: {{size: 3, stride: 2, padding: same}}
  - flatten
  - dropout: {{rate: 0.3}}
  - dense: {{units: 19}}
  - sigmoid
  - dense: {{units: 10}}
loss: softmax_cross_entropy
optimizer: {{adamw: {{learning_rate: 0.004, weight_decay: 0.02}}}}
schedule: {{cosine: {{final_factor: 0.05}}, warmup_steps: 31}}
training: {{epochs: 2, batch: 97, shards: 16}}
)";

TEST_F(ContractTest, OddNetworkShuffledOverEverything) {
  const std::string path = write("odd.yaml", fmt::format(odd_network, small_file()));
  expect_same_everywhere({"train", path},
                         {{1, 2, shared_memory},
                          {2, 2, by_messages},
                          {3, 1, shared_memory},
                          {5, 1, shared_memory},
                          {5, 2, by_messages},
                          {8, 1, shared_memory},
                          {16, 1, shared_memory}},
                         "training.shards=8");
}

}  // namespace
}  // namespace lockstep::testing
