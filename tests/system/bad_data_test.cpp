// Data files that cannot be trained on: one message that names the file and what is wrong, whatever the
// number of ranks, and no trace of a run.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "io/hdf5_samples.h"
#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

double pixel(std::int64_t i) {
  return static_cast<double>(i % 251);
}
double digit(std::int64_t row) {
  return static_cast<double>(row % 10);
}

class BadDataTest : public SystemTest, public ::testing::WithParamInterface<int> {
 protected:
  static constexpr std::int64_t samples = 64;

  void TearDown() override {
    EXPECT_FALSE(std::filesystem::exists(file("runs"))) << "a run folder was made";
    SystemTest::TearDown();
  }

  [[nodiscard]] std::string data() const { return file("data.h5"); }
  [[nodiscard]] ProcessResult train(const Words& overrides = {}) const {
    Words words = train_shipped("mnist_softmax", data(), into("run", {"training.batch=32"}));
    words.insert(words.end(), overrides.begin(), overrides.end());
    return run(words, {.ranks = GetParam()});
  }

  /// Writes the data file: good, but for what `spoil` changes in training images and labels.
  void write_data(const std::function<void(SampleArray& images, SampleArray& labels)>& spoil) const {
    const Shape one{samples};
    const Shape all{samples, 1, 28, 28};
    std::vector<SampleArray> arrays{
        {.name = "/train/images", .type = H5T_STD_U8LE, .shape = all, .value = pixel},
        {.name = "/train/labels", .type = H5T_STD_U8LE, .shape = one, .value = digit},
        {.name = "/test/images", .type = H5T_STD_U8LE, .shape = all, .value = pixel},
        {.name = "/test/labels", .type = H5T_STD_U8LE, .shape = one, .value = digit}};
    spoil(arrays[0], arrays[1]);
    write_hdf5(data(), arrays);
  }
  void expect_bad(const std::vector<std::string>& parts) const {
    expect_failure(train(), ExitCode::bad_data, parts);
  }
  [[nodiscard]] std::string images() const { return data() + ": /train/images"; }
  [[nodiscard]] std::string labels() const { return data() + ": /train/labels"; }
};

TEST_P(BadDataTest, MissingFile) {
  expect_failure(train(), ExitCode::no_input, {data(), "no such file"});
}

TEST_P(BadDataTest, MissingFileOfARelativeName) {
  expect_failure(train({"data.train.file=none.h5"}), ExitCode::no_input,
                 {"'none.h5'", std::filesystem::current_path().string(), "'lockstep import'"});
}

TEST_P(BadDataTest, MissingValidationFile) {
  write_data([](SampleArray&, SampleArray&) {});
  expect_failure(train({"data.validation.file=" + file("none.h5")}), ExitCode::no_input,
                 {file("none.h5"), "no such file"});
}

TEST_P(BadDataTest, Folder) {
  std::filesystem::create_directory(data());
  expect_failure(train(), ExitCode::no_input, {data(), "folder"});
}

TEST_P(BadDataTest, EmptyFile) {
  write("data.h5", "");
  expect_bad({data(), "empty"});
}

TEST_P(BadDataTest, NoHdf5File) {
  write("data.h5", "not at all what it seems\n");
  expect_bad({data(), "not an HDF5 file"});
}

TEST_P(BadDataTest, TruncatedFile) {
  const std::string whole = contents(small_file());
  write("data.h5", whole.substr(0, whole.size() / 2));
  expect_bad({data(), "cut off"});
}

TEST_P(BadDataTest, NoSuchDataSet) {
  write_data([](SampleArray& images, SampleArray&) { images.name = "/train/pictures"; });
  expect_bad({data(), "'/train/images'", "/train/pictures"});
}

TEST_P(BadDataTest, LabelsThatAreNoIntegers) {
  write_data([](SampleArray&, SampleArray& labels) { labels.type = H5T_IEEE_F32LE; });
  expect_bad({labels(), "integers", "f32"});
}

TEST_P(BadDataTest, ImagesThatAreNoNumbers) {
  write_data([](SampleArray& images, SampleArray&) {
    images.type = H5T_C_S1;
    images.value = nullptr;
  });
  expect_bad({images(), "strings"});
}

TEST_P(BadDataTest, ImagesOfOneAxis) {
  write_data([](SampleArray& images, SampleArray&) { images.shape = {samples}; });
  expect_bad({images(), "64", "samples × channels × height × width"});
}

TEST_P(BadDataTest, ImagesOfFiveAxes) {
  write_data([](SampleArray& images, SampleArray&) { images.shape = {samples, 1, 4, 14, 14}; });
  expect_bad({images(), "64×1×4×14×14"});
}

TEST_P(BadDataTest, LabelsThatAreOneHot) {
  write_data([](SampleArray&, SampleArray& labels) { labels.shape = {samples, 10}; });
  expect_bad({labels(), "64×10", "argmax"});
}

TEST_P(BadDataTest, FewerLabelsThanImages) {
  write_data([](SampleArray&, SampleArray& labels) { labels.shape = {samples - 1}; });
  expect_bad({labels(), "63 labels", "64 images"});
}

TEST_P(BadDataTest, LabelBeyondTheClasses) {
  write_data([](SampleArray&, SampleArray& labels) {
    labels.value = [](std::int64_t row) { return row == 57 ? 11.0 : digit(row); };
  });
  expect_failure(train(), ExitCode::bad_config, {"'scores'", "10 outputs", "12 classes"});
}

TEST_P(BadDataTest, LabelsThatCountFromOne) {
  write_data([](SampleArray&, SampleArray& labels) {
    labels.value = [](std::int64_t row) { return digit(row) + 1; };
  });
  expect_failure(train(), ExitCode::bad_config,
                 {"'scores'", "10 outputs", "count from 1 to 10", "subtract 1"});
}

TEST_P(BadDataTest, NegativeLabel) {
  write_data([](SampleArray&, SampleArray& labels) {
    labels.type = H5T_STD_I32LE;
    labels.value = [](std::int64_t row) { return row == 57 ? -1.0 : digit(row); };
  });
  expect_bad({labels(), "row 57", "-1"});
}

TEST_P(BadDataTest, NoSamples) {
  write_data([](SampleArray& images, SampleArray& labels) {
    images.shape = {0, 1, 28, 28};
    labels.shape = {0};
  });
  expect_bad({images(), "no samples"});
}

TEST_P(BadDataTest, BatchLargerThanTheData) {
  write_data([](SampleArray&, SampleArray&) {});
  expect_failure(train({"training.batch=65"}), ExitCode::bad_config,
                 {"training.batch is 65", data(), "64 samples"});
}

TEST_P(BadDataTest, ValidationImagesOfAnotherShape) {
  write_data([](SampleArray& images, SampleArray&) { images.shape = {samples, 1, 14, 56}; });
  expect_bad({data(), "1×28×28", "1×14×56"});
}

INSTANTIATE_TEST_SUITE_P(Ranks, BadDataTest, ::testing::Values(1, 2));

}  // namespace
}  // namespace lockstep::testing
