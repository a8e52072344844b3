// Results that cannot be written: one message that names the file, and nothing half-written left behind. All
// of it holds for root too, whom no permissions stop.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class BadOutputTest : public SystemTest, public ::testing::WithParamInterface<int> {
 protected:
  [[nodiscard]] ProcessResult train(const Words& overrides, const Words& wrapper = {}) const {
    return run(train_shipped("mnist_softmax", small_file(), overrides),
               {.ranks = GetParam(), .wrapper = wrapper, .environment = {{"LOCKSTEP_COLLECTIVE", "mpi"}}});
  }
};

TEST_P(BadOutputTest, RunFolderBelowAFile) {
  const std::string blocking = write("file", "");
  expect_failure(train({"output.dir=" + blocking + "/runs"}), ExitCode::cannot_create,
                 {blocking + "/runs", "Not a directory", "'" + blocking + "' is not a folder", "output.dir"});
}

TEST_P(BadOutputTest, RunFolderThatExists) {
  std::filesystem::create_directories(run_folder("taken"));
  const std::string kept = write_file(run_folder("taken") + "/metrics.csv", "of another run");
  expect_failure(train(into("taken")), ExitCode::cannot_create,
                 {run_folder("taken"), "exists already", "output.name"});
  EXPECT_EQ(contents(kept), "of another run");
}

// A limit on the size of files stands for a full disk. MPI has files of its own, of four megabytes each, so
// the limit lies above them, and the weights above that.
TEST_P(BadOutputTest, DiskThatIsFullBeforeTheWeightsAreWritten) {
  std::string text = contents(source("configs/mnist_softmax.yaml"));
  const std::string layer = "  - dense:";
  text.insert(text.find(layer), "  - dense: {name: wide, units: 8000}\n  - relu\n");
  Words words = train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=1"}));
  words[1] = write("wide.yaml", text);
  words.insert(words.end(),
               {"training.batch=2000", "optimizer.sgd.learning_rate=0.001", "checkpoint.keep=0"});
  const ProcessResult result = run(words, {.ranks = GetParam(),
                                           .wrapper = {"bash", "-c", "ulimit -f 16384; exec \"$@\"", "bash"},
                                           .environment = {{"LOCKSTEP_COLLECTIVE", "mpi"}}});
  expect_failure(result, ExitCode::io_error, {run_folder("run") + "/final_weights.h5", "File too large"});
  EXPECT_FALSE(std::filesystem::exists(run_folder("run") + "/final_weights.h5"));
  EXPECT_EQ(csv_rows(run_folder("run") + "/metrics.csv").size(), 2U) << "a header and an epoch";
}

TEST_P(BadOutputTest, TerminalThatIsFull) {
  // Under mpirun standard output is mpirun's: each rank gets /dev/full of its own.
  const ProcessResult result =
      train(into("run", {"training.epochs=1"}), {"sh", "-c", "exec \"$@\" >/dev/full", "sh"});
  EXPECT_EQ(result.status, 0) << result.err;
  ASSERT_EQ(messages(result).size(), 1U) << result.err;
  EXPECT_THAT(messages(result).front(), HasSubstr("No space left on device"));
  EXPECT_EQ(json_of(run_folder("run") + "/summary.json")["status"], "finished");
}

INSTANTIATE_TEST_SUITE_P(Ranks, BadOutputTest, ::testing::Values(1, 2));

class FullDiskTest : public SystemTest {};

TEST_F(FullDiskTest, LeavesNoPartOfAnImport) {
  const std::string idx = source("datasets/mnist/t10k-");
  const Words limited{"bash", "-c", "ulimit -f 1024; exec \"$@\"", "bash"};
  const ProcessResult result =
      run({"import", file("out.h5"), "--train", idx + "images-idx3-ubyte.gz", idx + "labels-idx1-ubyte.gz"},
          {.wrapper = limited});
  expect_failure(result, ExitCode::io_error, {file("out.h5"), "File too large"});
  EXPECT_FALSE(std::filesystem::exists(file("out.h5")));
}

TEST_F(FullDiskTest, KeepsNoAnswerFromBeingMissed) {
  const Words into_full{"sh", "-c", "exec \"$@\" >/dev/full", "sh"};
  const std::string experiment = source("configs/mnist_softmax.yaml");
  for (const Words& arguments :
       {Words{"config", experiment}, Words{"inspect", small_file()},
        Words{"plan", experiment, "data.train.file=" + small_file(), "data.validation.file=" + small_file()},
        Words{"--version"}, Words{"--help"}}) {
    SCOPED_TRACE(arguments.front());
    expect_failure(run(arguments, {.wrapper = into_full}), ExitCode::io_error,
                   {"standard output", "No space left on device"});
  }
}

}  // namespace
}  // namespace lockstep::testing
