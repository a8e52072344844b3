// Numbers that are no longer finite stop a training, with the place named, the same on any number of ranks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <regex>

#include "io/hdf5_samples.h"
#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

class DivergenceTest : public SystemTest {
 protected:
  /// Trains on 1, 2 and 3 ranks; returns the message, which is the same.
  std::string diverge(const Words& arguments, const std::vector<std::string>& parts) {
    std::string first;
    for (const int ranks : {1, 2, 3}) {
      SCOPED_TRACE(fmt::format("{} ranks", ranks));
      const std::string name = fmt::format("on{}", ranks);
      Words words = arguments;
      for (const std::string& word : into(name)) words.push_back(word);
      const ProcessResult result = run(words, {.ranks = ranks});
      expect_failure(result, ExitCode::bad_data, parts);
      if (messages(result).size() != 1) return "";
      if (first.empty()) first = messages(result).front();
      EXPECT_EQ(messages(result).front(), first);

      const nlohmann::json summary = json_of(run_folder(name) + "/summary.json");
      EXPECT_EQ(summary["status"], "diverged");
      EXPECT_EQ("lockstep: " + summary["detail"].get<std::string>(), first);
      EXPECT_EQ(summary["epochs_done"], csv_rows(run_folder(name) + "/metrics.csv").size() - 1);
      EXPECT_FALSE(std::filesystem::exists(run_folder(name) + "/final_weights.h5"));
    }
    return first;
  }
};

TEST_F(DivergenceTest, LearningRateThatExplodes) {
  const std::string message =
      diverge(train_shipped("mnist_cnn", small_file(), {"optimizer.sgd.learning_rate=1000"}),
              {"epoch 1, step ", " of 79: ", " is not finite", "Lower the learning rate"});
  EXPECT_TRUE(std::regex_search(message, std::regex("last good loss: [0-9]"))) << message;
}

/// A file of `samples` float images 1×12×12 of three classes.
constexpr std::int64_t pixels = 12 * 12;
std::string write_images(const std::string& path, std::int64_t samples,
                         const std::function<double(std::int64_t)>& pixel) {
  const auto label = [](std::int64_t row) { return static_cast<double>(row % 3); };
  write_hdf5(path, {{.name = "/x", .type = H5T_IEEE_F32LE, .shape = {samples, 1, 12, 12}, .value = pixel},
                    {.name = "/y", .type = H5T_STD_I32LE, .shape = {samples}, .value = label}});
  return path;
}

TEST_F(DivergenceTest, PixelThatIsNoNumber) {
  // The 71st image, in the second step of 48: behind a ReLU and a max-pool, which swallow it going forward.
  const std::string data = write_images(file("data.h5"), 96, [](std::int64_t i) {
    return i == 70 * pixels + 17 ? std::numeric_limits<double>::quiet_NaN()
                                 : std::sin(static_cast<double>(i));
  });
  const std::string experiment = write("nan.yaml", fmt::format(R"(
name: nan
data:
  train: {{file: {}, images: /x, labels: /y}}
  shuffle: none
model:
  - conv2d: {{name: eyes, filters: 4, kernel: 3}}
  - relu
  - max_pool: {{size: 2}}
  - flatten
  - dense: {{name: head, units: 3}}
loss: softmax_cross_entropy
optimizer: {{sgd: {{learning_rate: 0.01}}}}
training: {{epochs: 2, batch: 48}}
)",
                                                               data));
  diverge({"train", experiment},
          {"epoch 1, step 2 of 2: the gradient of eyes.", " is not finite", "last good loss: ", "data"});
}

TEST_F(DivergenceTest, WeightThatOverflows) {
  // From weights of zero the first loss is that of three equal chances. The pixels are so large that their
  // gradients are just finite, and the weights of the first update are not.
  const std::string data = write_images(file("data.h5"), 96, [](std::int64_t i) {
    return i / pixels % 3 == 1 ? 3e36 : 0.0;  // for one class only: nothing cancels
  });
  const std::string experiment = write("large.yaml", fmt::format(R"(
name: large
data:
  train: {{file: {}, images: /x, labels: /y}}
  shuffle: none
model:
  - flatten
  - dense: {{name: head, units: 3, init: zeros}}
loss: softmax_cross_entropy
optimizer: {{sgd: {{learning_rate: 1000}}}}
training: {{epochs: 2, batch: 48}}
)",
                                                                 data));
  diverge({"train", experiment},
          {"epoch 1, step 1 of 2: a new weight in head.weight is not finite", "last good loss: 1.099"});
}

}  // namespace
}  // namespace lockstep::testing
