#include "system/resume_runs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "step-";
constexpr std::string_view suffix = ".h5";

}  // namespace

ResumableRuns::Outcome ResumableRuns::outcome(const std::string& name) const {
  const std::string folder = run_folder(name);
  Outcome found{.weights = contents(folder + "/final_weights.h5"),
                .metrics = computed_columns(folder + "/metrics.csv"),
                .digests = contents(folder + "/digests.csv"),
                .epochs = {}};
  for (nlohmann::json& line : json_lines(folder + "/metrics.jsonl")) {
    line.erase("seconds");
    line.erase("samples_per_second");
    found.epochs.push_back(line.dump());
  }
  return found;
}

void ResumableRuns::expect_equal(const Outcome& found, const Outcome& expected) {
  EXPECT_FALSE(expected.weights.empty());
  EXPECT_TRUE(found.weights == expected.weights) << "the weights differ";
  EXPECT_EQ(found.metrics, expected.metrics);
  EXPECT_EQ(found.epochs, expected.epochs);
  const auto [ours, theirs] = std::ranges::mismatch(found.digests, expected.digests);
  EXPECT_TRUE(found.digests == expected.digests)
      << "the digests differ from byte " << ours - found.digests.begin() << " on";
}

ResumableRuns::Outcome ResumableRuns::train_whole(const Words& experiment, int ranks) const {
  expect_success(run(with(experiment, into("whole")), {.ranks = ranks}));
  return outcome("whole");
}

Words ResumableRuns::with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

nlohmann::json ResumableRuns::summary(const std::string& name) const {
  return json_of(run_folder(name) + "/summary.json");
}

std::vector<std::int64_t> ResumableRuns::checkpoint_steps(const std::string& name) const {
  std::vector<std::int64_t> steps;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run_folder(name) + "/checkpoints", none)) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with(prefix) || !file.ends_with(suffix)) continue;
    std::int64_t step = 0;
    std::from_chars(file.data() + prefix.size(), file.data() + file.size() - suffix.size(), step);
    steps.push_back(step);
  }
  std::ranges::sort(steps);
  return steps;
}

std::string ResumableRuns::checkpoint_file(const std::string& name, std::int64_t step) const {
  return fmt::format("{}/checkpoints/{}{:012}{}", run_folder(name), prefix, step, suffix);
}

void ResumableRuns::damage(const std::string& path, std::int64_t at) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const int byte = file.seekg(at).get();
  file.seekp(at).put(static_cast<char>(byte ^ 1));
  ASSERT_TRUE(file.flush()) << path;
}

bool ResumableRuns::is_running(pid_t process) {
  const std::string status = contents(fmt::format("/proc/{}/stat", process));
  const std::size_t name_end = status.rfind(')');
  return name_end != std::string::npos && status.substr(name_end, 3) != ") Z";
}

void ResumableRuns::kill_job() const {
  for (const pid_t process : processes_of(folder())) kill(process, SIGKILL);
}

std::string ResumableRuns::odd_network() {
  return fmt::format(R"(
name: odd
seed: 3
data:
  train: {{file: {0}, images: /train/images, labels: /train/labels}}
  validation: {{file: {0}, images: /test/images, labels: /test/labels}}
  scale: 0.00392156862745098
  shuffle: global
model:
  - conv2d: {{filters: 5, kernel: [3, 5], stride: 2, padding: same}}
  - relu
  - max_pool: {{size: 2}}
  - flatten
  - dropout: {{rate: 0.3}}
  - dense: {{units: 19}}
  - tanh
  - dense: {{units: 10}}
optimizer: {{adamw: {{learning_rate: 0.004, weight_decay: 0.02}}}}
schedule: {{cosine: {{final_factor: 0.05}}, warmup_steps: 31}}
training: {{epochs: 2, batch: 97}}
)",
                     small_file());
}

std::string ResumableRuns::small_network() {
  return fmt::format(R"(
name: small
data:
  train: {{file: {0}, images: /train/images, labels: /train/labels}}
  validation: {{file: {0}, images: /test/images, labels: /test/labels}}
  scale: 0.00392156862745098
model:
  - flatten
  - dropout: {{rate: 0.2}}
  - dense: {{units: 10}}
optimizer: {{adamw: {{learning_rate: 0.002}}}}
training: {{epochs: 1, batch: 130}}
checkpoint: {{every_steps: 7}}
)",
                     small_file());
}

}  // namespace lockstep::testing
