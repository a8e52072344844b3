#include "system/contract.h"

#include <fmt/format.h>

#include <algorithm>

#include "system/run_files.h"

namespace lockstep::testing {
namespace {

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
  - dense: {{units: 397}}
  - sigmoid
  - dropout: {{rate: 0.1}}
  - dense: {{units: 211}}
  - relu
  - dense: {{units: 10}}
loss: softmax_cross_entropy
optimizer: {{adamw: {{learning_rate: 0.004, weight_decay: 0.02}}}}
schedule: {{cosine: {{final_factor: 0.05}}, warmup_steps: 31}}
training: {{epochs: 2, batch: 97, shards: 16}}
)";

constexpr const char* large_layers = R"(
name: large_layers
seed: 1
data:
  train: {{file: {0}, images: /train/images, labels: /train/labels}}
  scale: 0.00392156862745098
model:
  - flatten
  - dense: {{units: 1400}}
  - relu
  - dropout: {{rate: 0.2}}
  - dense: {{units: 801}}
  - relu
  - dense: {{units: 10}}
loss: softmax_cross_entropy
optimizer: {{sgd: {{learning_rate: 0.05, momentum: 0.9}}}}
training: {{epochs: 1, batch: 83, shards: 16}}
)";

Job job_of(const Layout& layout) {
  const bool needs_mpirun = layout.threads > 1 || layout.carrier != Carrier::chosen;
  Job job{.ranks = layout.ranks, .always_mpirun = needs_mpirun, .hosts = layout.hosts};
  if (layout.carrier != Carrier::chosen) job.environment["LOCKSTEP_COLLECTIVE"] = "mpi";
  if (layout.carrier == Carrier::tcp)
    job.launcher_options = {"--mca", "pml", "ob1", "--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include",
                            "lo"};
  return job;
}

std::string header_line(const Layout& layout) {
  if (layout.ranks == 1) return "exchange   none\n";
  if (layout.carrier != Carrier::chosen) return "exchange   mpi, ";
  return layout.hosts.empty() ? "exchange   shared memory, " : "exchange   shared memory and messages, ";
}

std::string name_of(const Layout& layout) {
  std::string name = fmt::format("{} ranks of {} threads, carrier {}", layout.ranks, layout.threads,
                                 static_cast<int>(layout.carrier));
  if (!layout.hosts.empty()) name += fmt::format(", hosts of {} and {}", layout.hosts[0], layout.hosts[1]);
  return name;
}

}  // namespace

std::vector<Layout> every_layout(const std::vector<Carrier>& carriers) {
  std::vector<Layout> layouts{{1, 2}};
  for (const Carrier carrier : carriers)
    for (const int ranks : {2, 3, 4, 5, 8})
      for (const int threads : {1, 2}) layouts.push_back({ranks, threads, carrier});
  return layouts;
}

ContractTest::Outcome ContractTest::train(Words experiment, const Layout& layout) {
  const std::string name = fmt::format("{}", ++runs_);
  for (const std::string& word : into(name, {fmt::format("device.threads={}", layout.threads)}))
    experiment.push_back(word);
  const ProcessResult result = run(experiment, job_of(layout));
  expect_success(result);
  EXPECT_NE(result.out.find(header_line(layout)), std::string::npos) << result.out;
  return {contents(run_folder(name) + "/final_weights.h5"),
          computed_columns(run_folder(name) + "/metrics.csv"), contents(run_folder(name) + "/digests.csv")};
}

Words ContractTest::train_odd_network() const {
  return {"train", write("odd.yaml", fmt::format(odd_network, small_file()))};
}

Words ContractTest::train_large_layers() const {
  return {"train", write("large_layers.yaml", fmt::format(large_layers, small_file()))};
}

void ContractTest::expect_same_everywhere(const Words& experiment, const std::vector<Layout>& layouts,
                                          const Words& changes) {
  const Outcome expected = train(experiment, {});
  ASSERT_GT(expected.weights.size(), 1000U);
  ASSERT_GT(std::count(expected.digests.begin(), expected.digests.end(), '\n'), 30) << "a line for each step";
  for (const Layout& layout : layouts) {
    SCOPED_TRACE(name_of(layout));
    const Outcome outcome = train(experiment, layout);
    EXPECT_TRUE(outcome.weights == expected.weights) << "the weights differ";
    EXPECT_EQ(outcome.metrics, expected.metrics);
    EXPECT_EQ(outcome.digests, expected.digests);
  }
  for (const std::string& change : changes) {
    SCOPED_TRACE(change);
    Words changed = experiment;
    changed.push_back(change);
    const Outcome outcome = train(changed, {.threads = 2});
    EXPECT_FALSE(outcome.weights == expected.weights) << "nothing would be noticed";
    EXPECT_NE(outcome.metrics, expected.metrics);
    EXPECT_NE(outcome.digests, expected.digests);
  }
}

}  // namespace lockstep::testing
