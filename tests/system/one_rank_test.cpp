// Something that goes wrong on one rank only: the message names the rank and its host, and the job ends.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;

std::string this_host() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

/// Rank 1 works in the folder "one", the others in "others".
class OneRankTest : public SystemTest {
 protected:
  void SetUp() override {
    fs::create_directory(file("one"));
    fs::create_directory(file("others"));
    fs::copy_file(small_file(), file("others/data.h5"));
  }
  [[nodiscard]] ProcessResult train(const std::string& what_rank_1_does = "cd one",
                                    const Words& overrides = {"training.epochs=1"}) const {
    const std::string script = fmt::format(
        "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]\nthen {}\nelse cd others\nfi\nexec \"$@\"", what_rank_1_does);
    return run(train_shipped("mnist_softmax", "data.h5", into("run", overrides)),
               {.ranks = 3,
                .wrapper = {"sh", "-c", script, "sh"},
                .folder = folder(),
                .environment = {{"TMPDIR", folder()}}});  // MPI may not get to remove its own files
  }
  const std::string rank_1 = "rank 1 on " + this_host();
};

TEST_F(OneRankTest, WithTheSameFileAllIsWell) {
  fs::copy_file(small_file(), file("one/data.h5"));
  expect_success(train());
}

TEST_F(OneRankTest, MissingFile) {
  expect_failure(train(), ExitCode::no_input, {rank_1, "data.h5", "no such file"});
  EXPECT_FALSE(fs::exists(file("runs")));
}

TEST_F(OneRankTest, TruncatedFile) {
  const std::string whole = contents(small_file());
  write("one/data.h5", whole.substr(0, whole.size() - 1000));
  expect_failure(train(), ExitCode::bad_data, {rank_1, "data.h5", "cut off"});
  EXPECT_FALSE(fs::exists(file("runs")));
}

TEST_F(OneRankTest, AnotherCopyOfTheData) {
  const std::string idx = source("datasets/mnist/");
  const auto images = idx + "t10k-images-idx3-ubyte.gz";
  // As many samples, in a file of the same size, with the checksums of other labels.
  std::string labels(10'000, '\0');
  const std::string header{'\0', '\0', '\x08', '\x01', '\0', '\0', '\x27', '\x10'};
  const std::string other = write("labels", header + labels);
  expect_success(run({"import", file("one/data.h5"), "--train", images, other, "--test", images, other}));
  expect_failure(
      train(), ExitCode::bad_data,
      {rank_1, "data.h5 is not the file that rank 0 on " + this_host() + " reads", "/train/labels"});
  EXPECT_FALSE(fs::exists(file("runs")));
}

TEST_F(OneRankTest, KilledRankEndsTheJob) {
  fs::copy_file(small_file(), file("one/data.h5"));
  const std::string metrics = run_folder("run") + "/metrics.csv";
  const std::string after_an_epoch = fmt::format(
      "cd one; (for i in $(seq 1000); do grep -qs ^1, '{}' && kill -KILL $$ && exit; sleep 0.05; done) &",
      metrics);
  allow_partial_files();
  const ProcessResult result = train(after_an_epoch, {"training.epochs=1000000"});
  EXPECT_FALSE(result.timed_out) << "it hangs";
  EXPECT_EQ(result.status, 128 + SIGKILL) << result.err;
  EXPECT_GE(csv_rows(metrics).size(), 2U);
  EXPECT_GE(json_lines(run_folder("run") + "/metrics.jsonl").size(), 1U);
}

}  // namespace
}  // namespace lockstep::testing
