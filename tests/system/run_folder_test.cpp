// What a run leaves behind.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>

#include "io/hdf5.h"
#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
namespace hdf5 = io::hdf5;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class RunFilesTest : public SystemTest {};

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

TEST_F(RunFilesTest, AreAllThere) {
  const ProcessResult result = run(
      train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=3", "device.threads=1"})),
      {.ranks = 3});
  expect_success(result);
  const std::string folder = run_folder("run");
  EXPECT_EQ(names_in(folder), (std::set<std::string>{"checkpoints", "digests.csv", "environment.json",
                                                     "experiment.yaml", "final_weights.h5", "lock",
                                                     "metrics.csv", "metrics.jsonl", "summary.json"}));
  EXPECT_THAT(contents(folder + "/metrics.csv"),
              StartsWith("epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds,"
                         "samples_per_second\n1,"));

  const auto rows = csv_rows(folder + "/metrics.csv");
  const auto objects = json_lines(folder + "/metrics.jsonl");
  ASSERT_EQ(rows.size(), 4U);
  ASSERT_EQ(objects.size(), 3U);
  for (std::size_t row = 1; row < rows.size(); ++row)
    for (std::size_t column = 0; column < rows[0].size(); ++column)
      EXPECT_EQ(objects[row - 1][rows[0][column]].get<double>(), std::stod(rows[row][column]));

  const nlohmann::json summary = json_of(folder + "/summary.json");
  EXPECT_EQ(summary["status"], "finished");
  EXPECT_EQ(summary["epochs_done"], 3);
  EXPECT_EQ(summary["steps_done"], 3 * 79);
  EXPECT_EQ(summary["last"], objects.back());
  EXPECT_GT(summary["seconds"].get<double>(), 0);
  EXPECT_GT(summary["startup_seconds"].get<double>(), 0);
  EXPECT_GT(summary["peak_memory_bytes"].get<std::int64_t>(), 10'000'000);

  const nlohmann::json environment = json_of(folder + "/environment.json");
  EXPECT_EQ(environment["ranks"], 3);
  EXPECT_EQ(environment["threads"], nlohmann::json({1, 1, 1}));
  ASSERT_EQ(environment["hosts"].size(), 1U);
  EXPECT_EQ(environment["hosts"][0]["ranks"], nlohmann::json({0, 1, 2}));
  EXPECT_THAT(environment["command_line"].get<std::string>(), HasSubstr("output.name=run"));
  EXPECT_THAT(environment["device"].get<std::string>(), StartsWith("cpu ("));
  for (const char* key : {"build", "libraries", "started", "variables"})
    EXPECT_TRUE(environment.contains(key)) << key;
}

TEST_F(RunFilesTest, ResolvedExperimentTrainsAgainToTheSameBits) {
  expect_success(
      run(train_shipped("mnist_softmax", small_file(), into("one", {"training.epochs=1", "seed=5"}))));
  expect_success(run({"train", run_folder("one") + "/experiment.yaml", "output.name=two"}));
  EXPECT_TRUE(contents(run_folder("one") + "/final_weights.h5") ==
              contents(run_folder("two") + "/final_weights.h5"));
}

TEST_F(RunFilesTest, HaveAFolderOfTheirOwnEachTime) {
  const Words words = train_shipped("smoke", small_file(), {"output.dir=" + file("runs")});
  for (int i = 0; i < 2; ++i) expect_success(run(words));
  const std::set<std::string> names = names_in(file("runs"));
  EXPECT_EQ(names.size(), 2U);
  for (const std::string& name : names) {
    EXPECT_THAT(name, MatchesRegex("smoke-[0-9]{8}T[0-9]{6}Z(-2)?"));
    EXPECT_EQ(csv_rows(file("runs/" + name) + "/metrics.csv").size(), 2U);
  }
}

TEST_F(RunFilesTest, WithoutAValidationSetItsColumnsAreEmpty) {
  std::string text = contents(source("configs/mnist_softmax.yaml"));
  const std::size_t line = text.find("  validation:");
  text.erase(line, text.find('\n', line) + 1 - line);
  Words words = into("run", {"training.epochs=1", "data.train.file=" + small_file()});
  words.insert(words.begin(), {"train", write("no_validation.yaml", text)});
  expect_success(run(words));
  const auto rows = csv_rows(run_folder("run") + "/metrics.csv");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1][3], "");
  EXPECT_EQ(rows[1][4], "");
  EXPECT_TRUE(json_lines(run_folder("run") + "/metrics.jsonl").at(0)["val_loss"].is_null());
}

/// What any reader of HDF5 finds, h5py among them.
TEST_F(RunFilesTest, WeightsAreAPlainHdf5File) {
  expect_success(run(train_shipped("mnist_cnn", small_file(), into("run", {"training.epochs=1"}))));
  hdf5::prepare_library();
  const hdf5::File weights(
      H5Fopen((run_folder("run") + "/final_weights.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  ASSERT_TRUE(static_cast<bool>(weights));
  EXPECT_THAT(hdf5::dataset_names(weights),
              ElementsAre("/weights/conv1.bias", "/weights/conv1.weight", "/weights/conv2.bias",
                          "/weights/conv2.weight", "/weights/fc1.bias", "/weights/fc1.weight",
                          "/weights/fc2.bias", "/weights/fc2.weight"));
  const hdf5::Dataset filters(H5Dopen2(weights.get(), "/weights/conv2.weight", H5P_DEFAULT));
  const hdf5::Dataspace space(H5Dget_space(filters.get()));
  const hdf5::Datatype type(H5Dget_type(filters.get()));
  EXPECT_GT(H5Tequal(type.get(), H5T_IEEE_F32LE), 0);
  std::array<hsize_t, 4> extents{};
  ASSERT_EQ(H5Sget_simple_extent_ndims(space.get()), 4);
  H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  EXPECT_THAT(extents, ElementsAre(48, 24, 5, 5));
  std::vector<float> values(48 * 24 * 5 * 5);
  ASSERT_GE(H5Dread(filters.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  float largest = 0;
  for (const float value : values) {
    ASSERT_TRUE(std::isfinite(value));
    largest = std::max(largest, std::abs(value));
  }
  EXPECT_GT(largest, 0.1F) << "they started within ±0.1 and moved";
  EXPECT_LT(largest, 1.0F);
}

}  // namespace
}  // namespace lockstep::testing
