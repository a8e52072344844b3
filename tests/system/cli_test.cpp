// The commands beside `train`, and what they say.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <regex>
#include <sstream>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class CliTest : public SystemTest {
 protected:
  /// The words after those that a line of the output begins with.
  static std::string line_of(const std::string& text, const std::string& beginning) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
      if (line.find_first_not_of(' ') != std::string::npos &&
          line.substr(line.find_first_not_of(' ')).starts_with(beginning))
        return line;
    ADD_FAILURE() << "no line '" << beginning << "' in:\n" << text;
    return "";
  }
};

const Words commands{"train", "evaluate", "audit", "import", "inspect", "plan", "config"};

TEST_F(CliTest, HelpShowsHowToUseEachCommand) {
  const ProcessResult all = run({"--help"});
  expect_success(all);
  for (const std::string& name : commands) {
    EXPECT_THAT(all.out, HasSubstr("\n  " + name + " "));
    const ProcessResult one = run({name, "--help"});
    expect_success(one);
    EXPECT_THAT(one.out, AllOf(HasSubstr("Usage: lockstep " + name), HasSubstr("Example"),
                               HasSubstr("\n  lockstep " + name)));
  }
}

TEST_F(CliTest, WrongCommandLineIs64) {
  const std::vector<Words> wrong{{},
                                 {"trian"},
                                 {"--fast"},
                                 {"train"},
                                 {"train", source("configs/smoke.yaml"), "--epochs", "3"},
                                 {"plan", source("configs/smoke.yaml"), "--ranks", "0"},
                                 {"plan", source("configs/smoke.yaml"), "--ranks", "two"},
                                 {"import", file("out.h5"), "--train", file("images")},
                                 {"inspect"},
                                 {"evaluate"}};
  for (const Words& words : wrong) {
    const ProcessResult result = run(words);
    EXPECT_EQ(result.status, 64) << quoted(words);
    EXPECT_THAT(result.err, HasSubstr("--help")) << quoted(words);
    EXPECT_EQ(result.out, "") << quoted(words);
  }
}

TEST_F(CliTest, UnknownCommandIsNamed) {
  const ProcessResult slip = run({"tain", source("configs/smoke.yaml")});
  EXPECT_EQ(slip.status, 64);
  EXPECT_THAT(slip.err, HasSubstr("unknown command 'tain', did you mean 'train'?"));
  EXPECT_THAT(run({"run"}).err, HasSubstr("unknown command 'run', the commands are train, resume, evaluate"));
}

TEST_F(CliTest, UnderMpirunOneRankAnswers) {
  const std::string experiment = source("configs/smoke.yaml");
  const Words data{"data.train.file=" + small_file(), "data.validation.file=" + small_file()};
  const std::string idx = source("datasets/mnist/t10k-");
  const std::vector<Words> questions{{"--version"},
                                     {"config", experiment},
                                     {"plan", experiment, data[0], data[1]},
                                     {"inspect", small_file()},
                                     {"import", file("out.h5"), "--force", "--train",
                                      idx + "images-idx3-ubyte.gz", idx + "labels-idx1-ubyte.gz"}};
  for (const Words& words : questions) {
    SCOPED_TRACE(quoted(words));
    const ProcessResult alone = run(words);
    const ProcessResult together = run(words, {.ranks = 3});
    expect_success(alone);
    expect_success(together);
    EXPECT_EQ(together.out, alone.out);
  }
  expect_failure(run({"inspect", file("none.h5")}, {.ranks = 3}), ExitCode::no_input, {file("none.h5")});
}

TEST_F(CliTest, VersionListsEveryLibrary) {
  const ProcessResult result = run({"--version"});
  expect_success(result);
  EXPECT_TRUE(std::regex_search(result.out, std::regex("^lockstep [0-9]+\\.[0-9]+\\.[0-9]+\n")))
      << result.out;
  for (const char* library : {"Open MPI", "oneDNN", "HDF5", "yaml-cpp", "fmt", "spdlog", "CLI11",
                              "nlohmann_json", "zlib", "xxHash"})
    EXPECT_TRUE(std::regex_search(result.out, std::regex(fmt::format("\n{} [0-9]+\\.[0-9]+", library))))
        << library << "\n"
        << result.out;
}

TEST_F(CliTest, ConfigIsTheSameExperimentWrittenOut) {
  for (const auto& entry : std::filesystem::directory_iterator(source("configs"))) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path());
    const ProcessResult once = run({"config", entry.path().string(), "seed=7"});
    expect_success(once);
    EXPECT_THAT(once.out,
                AllOf(HasSubstr("seed: 7\n"), HasSubstr("  shards: 8\n"), HasSubstr("  threads: auto\n")));
    const ProcessResult twice = run({"config", write("written.yaml", once.out)});
    expect_success(twice);
    EXPECT_EQ(twice.out, once.out);
  }
}

TEST_F(CliTest, PlanSaysWhatSetUpWouldDecide) {
  const ProcessResult result =
      run({"plan", source("configs/mnist_cnn.yaml"), "--ranks", "3", "data.train.file=" + mnist_file(),
           "data.validation.file=" + mnist_file()},
          {.folder = folder()});
  expect_success(result);
  EXPECT_THAT(line_of(result.out, "data"), HasSubstr("60,000 samples of 1×28×28 u8"));
  EXPECT_THAT(line_of(result.out, "steps"), HasSubstr("469 an epoch of 128 samples, the last of 96"));
  EXPECT_THAT(line_of(result.out, "conv2"), AllOf(HasSubstr("48×8×8"), HasSubstr("28,848")));
  EXPECT_THAT(line_of(result.out, "total"),
              AllOf(HasSubstr("428,330"), HasSubstr("2,587,136"), HasSubstr("2,241,536")));
  std::int64_t samples = 0;
  int ranks = 0;
  const std::regex row("\n +[0-9] +[0-9]+ +[0-9]-[0-9] +([0-9]+),([0-9]+) ");
  for (std::sregex_iterator at(result.out.begin(), result.out.end(), row), end; at != end; ++at, ++ranks)
    samples += std::stoll((*at)[1].str() + (*at)[2].str());
  EXPECT_EQ(ranks, 3) << result.out;
  EXPECT_EQ(samples, 60'000) << result.out;
  EXPECT_TRUE(std::filesystem::is_empty(folder())) << "nothing is trained";
}

TEST_F(CliTest, PlanRefusesWhatTrainingWould) {
  const std::string experiment = source("configs/mnist_softmax.yaml");
  expect_failure(run({"plan", experiment, "--ranks", "9", "data.train.file=" + small_file(),
                      "data.validation.file=" + small_file()}),
                 ExitCode::bad_config, {"9 ranks", "training.shards=16"});
  expect_failure(run({"plan", experiment, "data.train.file=" + file("none.h5")}), ExitCode::no_input,
                 {file("none.h5")});
}

TEST_F(CliTest, InspectShowsADataFile) {
  const ProcessResult result = run({"inspect", small_file(), "--verify"});
  expect_success(result);
  EXPECT_THAT(line_of(result.out, "/train/images"),
              AllOf(HasSubstr("10000×1×28×28 u8"), HasSubstr("contiguous")));
  EXPECT_THAT(line_of(result.out, "rows"), HasSubstr("980    1135    1032    1010"));
  EXPECT_THAT(result.out, HasSubstr("All 4 checksums fit"));
}

TEST_F(CliTest, InspectFindsDamage) {
  std::string bytes = contents(small_file());
  const std::size_t in_the_first_images = bytes.size() / 4;
  bytes[in_the_first_images] = static_cast<char>(bytes[in_the_first_images] ^ 1);
  expect_failure(run({"inspect", write("data.h5", bytes), "--verify"}), ExitCode::bad_data,
                 {file("data.h5"), "damaged", "/train/images"});
}

TEST_F(CliTest, InspectShowsARun) {
  expect_success(run(train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=2"}))));
  const ProcessResult result = run({"inspect", run_folder("run")});
  expect_success(result);
  EXPECT_THAT(line_of(result.out, "experiment"), HasSubstr("mnist_softmax: 2 epochs planned"));
  EXPECT_THAT(line_of(result.out, "status"), HasSubstr("finished"));
  EXPECT_THAT(line_of(result.out, "done"), HasSubstr("2 epochs, 158 steps"));
  EXPECT_THAT(line_of(result.out, "weights"), HasSubstr("7850 numbers after epoch 2, step 158"));
  EXPECT_THAT(line_of(result.out, "/weights/scores.weight"), HasSubstr("10×784"));
  expect_failure(run({"inspect", folder()}), ExitCode::no_input, {folder(), "experiment.yaml"});
}

TEST_F(CliTest, InspectShowsHowARunWentOn) {
  expect_success(run(
      train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=2", "--until", "100"}))));
  expect_success(run({"resume", run_folder("run")}, {.ranks = 2}));
  const ProcessResult result = run({"inspect", run_folder("run")});
  expect_success(result);
  EXPECT_THAT(
      result.out,
      ContainsRegex("\n  started     [^\n]*Z\n  ranks       1 on [^\n]*\n  command     [^\n]* train [^\n]*"
                    "\n  went on     [^\n]*Z, after step 100\n  ranks       2 on [^\n]*\n  command     "
                    "[^\n]* resume "));
}

TEST_F(CliTest, ImportIsDoneOnce) {
  const std::string idx = source("datasets/mnist/t10k-");
  Words words{"import", file("out.h5"), "--train", idx + "images-idx3-ubyte.gz",
              idx + "labels-idx1-ubyte.gz"};
  const ProcessResult first = run(words);
  expect_success(first);
  EXPECT_THAT(first.out,
              AllOf(HasSubstr(file("out.h5") + " written"), HasSubstr("10000 images 1×28×28 of u8")));
  const auto time = std::filesystem::last_write_time(file("out.h5"));
  const std::string bytes = contents(file("out.h5"));

  const ProcessResult second = run(words);
  expect_success(second);
  EXPECT_THAT(second.out, HasSubstr("up to date"));
  EXPECT_EQ(std::filesystem::last_write_time(file("out.h5")), time);

  words.emplace_back("--force");
  const ProcessResult forced = run(words);
  expect_success(forced);
  EXPECT_THAT(forced.out, HasSubstr("written"));
  EXPECT_NE(std::filesystem::last_write_time(file("out.h5")), time);
  EXPECT_TRUE(contents(file("out.h5")) == bytes) << "the same sources give the same bytes";
}

}  // namespace
}  // namespace lockstep::testing
