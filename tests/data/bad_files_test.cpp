// Data that cannot be trained on: one message each, naming the file and the data set, with the right status.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/hdf5_dataset.h"
#include "io/atomic_file.h"
#include "io/error_of.h"
#include "io/hdf5_samples.h"
#include "support/temporary_folder.h"

namespace lockstep::data {
namespace {

using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using lockstep::testing::SampleArray;
using lockstep::testing::write_hdf5;

double zero(std::int64_t) {
  return 0;
}

class BadFiles : public ::testing::Test {
 protected:
  Error inspect() {
    return error_of([&] { inspect_dataset(split_); });
  }
  Error inspect(const SampleArray& images, const SampleArray& labels) {
    write_hdf5(split_.file, {images, labels});
    return inspect();
  }
  Error inspect_shape(const Shape& images, const Shape& labels) {
    return inspect({"/x", H5T_STD_U8LE, images, zero}, {"/y", H5T_STD_U8LE, labels, zero});
  }
  Error inspect_labels(hid_t type, const std::function<double(std::int64_t)>& value) {
    return inspect({"/x", H5T_STD_U8LE, {4, 6}, zero}, {"/y", type, {4}, value});
  }

  const lockstep::testing::TemporaryFolder folder_;
  const config::Split split_{folder_.file("bad.h5"), "/x", "/y"};
  const std::string images_ = split_.file + ": /x";
  const std::string labels_ = split_.file + ": /y";
};

TEST_F(BadFiles, NoFile) {
  expect_error(inspect(), ExitCode::no_input, {split_.file, "no such file"});
}

TEST_F(BadFiles, AFolder) {
  std::filesystem::create_directory(split_.file);
  expect_error(inspect(), ExitCode::no_input, {split_.file, "it is a folder"});
}

TEST_F(BadFiles, Empty) {
  io::write_file(split_.file, "");
  expect_error(inspect(), ExitCode::bad_data, {split_.file, "is empty"});
}

TEST_F(BadFiles, NotHdf5) {
  io::write_file(split_.file, std::string(5000, 'x'));
  expect_error(inspect(), ExitCode::bad_data, {split_.file, "not an HDF5 file"});
}

TEST_F(BadFiles, Truncated) {
  write_hdf5(split_.file, {{"/x", H5T_STD_U8LE, {40, 600}, zero}, {"/y", H5T_STD_U8LE, {40}, zero}});
  std::filesystem::resize_file(split_.file, 10'000);
  expect_error(inspect(), ExitCode::bad_data, {split_.file, "is cut off"});
}

TEST_F(BadFiles, MissingDatasets) {
  write_hdf5(split_.file, {{"/data", H5T_STD_U8LE, {4, 6}, zero}, {"/y", H5T_STD_U8LE, {4}, zero}});
  expect_error(inspect(), ExitCode::bad_data, {split_.file, "no data set '/x'", "/data, /y"});
}

TEST_F(BadFiles, ImagesOfTheWrongShape) {
  expect_error(inspect_shape({4}, {4}), ExitCode::bad_data, {images_, "not 4"});
  expect_error(inspect_shape({4, 1, 2, 3, 1}, {4}), ExitCode::bad_data, {images_, "4×1×2×3×1"});
  expect_error(inspect_shape({4, 0, 3}, {4}), ExitCode::bad_data, {images_, "no pixels"});
}

TEST_F(BadFiles, NoSamples) {
  expect_error(inspect_shape({0, 28, 28}, {0}), ExitCode::bad_data, {images_, "no samples"});
}

TEST_F(BadFiles, ImagesOfTheWrongType) {
  const io::hdf5::Datatype text(H5Tcopy(H5T_C_S1));
  expect_error(inspect({"/x", text.get(), {4, 6}, {}}, {"/y", H5T_STD_U8LE, {4}, zero}), ExitCode::bad_data,
               {images_, "strings"});
}

TEST_F(BadFiles, LabelsOfTheWrongShape) {
  expect_error(inspect_shape({4, 6}, {4, 10}), ExitCode::bad_data, {labels_, "4×10", "argmax"});
  expect_error(inspect_shape({4, 6}, {4, 1, 1}), ExitCode::bad_data, {labels_, "4×1×1"});
}

TEST_F(BadFiles, LabelsThatAreNotIntegers) {
  expect_error(inspect_labels(H5T_IEEE_F32LE, zero), ExitCode::bad_data, {labels_, "integers, not f32"});
}

TEST_F(BadFiles, LengthsDiffer) {
  expect_error(inspect_shape({4, 6}, {5}), ExitCode::bad_data, {labels_, "5 labels for the 4 images of /x"});
}

TEST_F(BadFiles, LabelsThatAreNoClasses) {
  const auto third = [](double label) {
    return [label](std::int64_t row) { return row == 2 ? label : 1.0; };
  };
  expect_error(inspect_labels(H5T_STD_I8LE, third(-3)), ExitCode::bad_data, {labels_, "row 2 is -3"});
  expect_error(inspect_labels(H5T_STD_U32LE, third(4294967295.0)), ExitCode::bad_data,
               {labels_, "row 2 is 4294967295"});
  expect_error(inspect_labels(H5T_STD_U64LE, third(1.2e19)), ExitCode::bad_data, {labels_, "row 2 is"});
}

}  // namespace
}  // namespace lockstep::data
