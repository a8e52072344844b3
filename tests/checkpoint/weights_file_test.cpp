#include "checkpoint/weights_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <vector>

#include "base/error.h"
#include "checkpoint/samples.h"
#include "io/hash.h"
#include "io/hdf5.h"
#include "io/process_limits.h"
#include "support/temporary_folder.h"

namespace lockstep::checkpoint {
namespace {

namespace fs = std::filesystem;
namespace hdf5 = io::hdf5;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const WeightsInfo info{.experiment = "mnist_cnn", .epoch = 3, .step = 1407};

class WeightsFile : public ::testing::Test {
 protected:
  void write() { write_weights(path_, model_, slab_, info); }
  WeightsInfo read(const Parameters& model, std::vector<float>& slab) const {
    slab.assign(static_cast<std::size_t>(model.slab_size()), -7.0F);
    return read_weights(path_, model, slab);
  }
  /// Reads expecting failure.
  [[nodiscard]] Error failure(const Parameters& model) const {
    std::vector<float> slab;
    try {
      read(model, slab);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "read " << path_;
    return {ExitCode::success, ""};
  }
  void expect_bad_data(const Parameters& model, const std::vector<std::string>& parts) const {
    const Error error = failure(model);
    EXPECT_EQ(error.code(), ExitCode::bad_data) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(path_));
    for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
  }
  /// Changes the file with plain HDF5 calls, and seals it again: what is found then is found by other means.
  void alter(const std::function<void(hid_t)>& change) const {
    {
      const hdf5::File file(H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
      ASSERT_TRUE(file);
      change(file.get());
    }
    seal_again(path_);
  }

  lockstep::testing::TemporaryFolder folder_;
  std::string path_ = folder_.file("final_weights.h5");
  Parameters model_ = small_model();
  std::vector<float> slab_ = slab_of(model_);
};

TEST_F(WeightsFile, RoundTripGivesTheSameBits) {
  slab_[1] = std::bit_cast<float>(0x7fc12345U);  // a NaN with a payload
  slab_[2] = -0.0F;
  slab_[3] = 1e-45F;
  write();
  std::vector<float> slab;
  EXPECT_EQ(read(model_, slab), info);
  EXPECT_EQ(std::memcmp(slab.data(), slab_.data(), slab.size() * sizeof(float)), 0);
}

TEST_F(WeightsFile, OrderOfDeclarationDoesNotMatter) {
  write();
  Parameters other;
  for (int i = 4; i >= 0; --i) other.declare(model_[i].name, model_[i].shape);
  std::vector<float> slab;
  read(other, slab);
  for (int i = 0; i < 5; ++i) {
    const Parameter &from = model_[i], &to = other[4 - i];
    ASSERT_EQ(from.name, to.name);
    EXPECT_TRUE(std::equal(slab_.begin() + from.offset, slab_.begin() + from.offset + from.count,
                           slab.begin() + to.offset))
        << from.name;
  }
}

TEST_F(WeightsFile, IsWhatTheReadmeSays) {
  write();
  const hdf5::File file = hdf5::open_file(path_);
  EXPECT_THAT(hdf5::dataset_names(file),
              ElementsAre("/weights/conv1.bias", "/weights/conv1.weight", "/weights/fc1.bias",
                          "/weights/fc1.weight", "/weights/scale"));
  const hdf5::Dataset dataset(H5Dopen2(file.get(), "/weights/conv1.weight", H5P_DEFAULT));
  const hdf5::Datatype type(H5Dget_type(dataset.get()));
  EXPECT_GT(H5Tequal(type.get(), H5T_IEEE_F32LE), 0);
  const hdf5::Dataspace space(H5Dget_space(dataset.get()));
  std::vector<hsize_t> extents(4);
  ASSERT_EQ(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr), 4);
  EXPECT_THAT(extents, ElementsAre(3, 2, 5, 5));
  std::vector<float> values(150);
  H5Dread(dataset.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  EXPECT_TRUE(std::equal(values.begin(), values.end(), slab_.begin() + model_[2].offset));
  EXPECT_GT(H5Aexists(dataset.get(), "checksum"), 0);
  for (const char* name : {"format", "version", "experiment", "epoch", "step"})
    EXPECT_GT(H5Aexists(file.get(), name), 0) << name;
}

TEST_F(WeightsFile, SameWeightsGiveTheSameBytes) {
  write();
  const std::string first = contents(path_);
  write();
  EXPECT_EQ(contents(path_), first);
}

TEST_F(WeightsFile, NamesThatDoNotFitAreAllListed) {
  write();
  Parameters other;
  other.declare("fc1.weight", {10, 48});
  other.declare("fc2.weight", {10, 48});
  other.declare("fc2.bias", {10});
  other.declare("conv1.weight", {3, 2, 5, 5});
  other.declare("conv1.bias", {3});
  expect_bad_data(other, {"the file lacks fc2.weight, fc2.bias", "the model lacks fc1.bias, scale"});
}

TEST_F(WeightsFile, MissingAndSuperfluousTensorsAlone) {
  write();
  Parameters more = small_model();
  more.declare("fc9.bias", {2});
  expect_bad_data(more, {"the file lacks fc9.bias"});
  Parameters fewer;
  for (int i = 0; i < 4; ++i) fewer.declare(model_[i].name, model_[i].shape);
  expect_bad_data(fewer, {"the model lacks scale"});
}

TEST_F(WeightsFile, WrongShapeNamesBoth) {
  write();
  for (const Shape& shape : {Shape{3, 2, 25}, Shape{2, 3, 5, 5}, Shape{150}, Shape{3, 2, 5, 4}}) {
    Parameters other;
    for (int i = 0; i < 5; ++i) other.declare(model_[i].name, i == 2 ? shape : model_[i].shape);
    expect_bad_data(other, {"conv1.weight", "3×2×5×5", shape.text()});
  }
}

TEST_F(WeightsFile, WrongTypeIsRefused) {
  write();
  alter([](hid_t file) {
    H5Ldelete(file, "/weights/scale", H5P_DEFAULT);
    const hsize_t one = 1;
    const hdf5::Dataspace space(H5Screate_simple(1, &one, nullptr));
    const hdf5::Dataset made(H5Dcreate2(file, "/weights/scale", H5T_IEEE_F64LE, space.get(), H5P_DEFAULT,
                                        H5P_DEFAULT, H5P_DEFAULT));
    const double value = 1;
    H5Dwrite(made.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &value);
  });
  expect_bad_data(model_, {"/weights/scale", "f64"});
}

TEST_F(WeightsFile, FlippedBitIsNoticed) {
  write();
  const std::string intact = contents(path_);
  for (int tensor = 0; tensor < 5; ++tensor) {
    const Parameter& parameter = model_[tensor];
    const auto* first = reinterpret_cast<const char*>(slab_.data() + parameter.offset);
    const std::size_t size = static_cast<std::size_t>(parameter.count) * sizeof(float);
    const std::size_t at = intact.find(std::string(first, size));
    ASSERT_NE(at, std::string::npos);
    std::string damaged = intact;
    damaged[at + size - 1] = static_cast<char>(damaged[at + size - 1] ^ 1);
    overwrite(path_, damaged);
    expect_bad_data(model_, {"damaged", "first line"});
    seal_again(path_);  // as if the damage were older than the seal
    expect_bad_data(model_, {"/weights/" + parameter.name + ":", "damaged", "xxh3-64:"});
  }
}

TEST_F(WeightsFile, ChecksumIsTheDocumentedOne) {
  write();
  const Parameter& bias = model_[3];
  const std::string checksum =
      io::hash_text(std::as_bytes(std::span(slab_).subspan(static_cast<std::size_t>(bias.offset), 3)));
  EXPECT_NE(contents(path_).find(checksum), std::string::npos);
}

TEST_F(WeightsFile, MissingChecksumIsRefused) {
  write();
  alter([](hid_t file) { H5Adelete_by_name(file, "/weights/fc1.bias", "checksum", H5P_DEFAULT); });
  expect_bad_data(model_, {"/weights/fc1.bias", "checksum"});
}

TEST_F(WeightsFile, OtherFilesAreRefused) {
  write();
  alter([](hid_t file) { H5Adelete(file, "format"); });
  expect_bad_data(model_, {"not a file of Lockstep weights"});
}

TEST_F(WeightsFile, OtherVersionIsRefused) {
  write();
  alter([](hid_t file) {
    const hdf5::Attribute version(H5Aopen(file, "version", H5P_DEFAULT));
    const std::int64_t next = 2;
    H5Awrite(version.get(), H5T_NATIVE_INT64, &next);
  });
  expect_bad_data(model_, {"version 2", "version 1 only"});
}

TEST_F(WeightsFile, MissingFactsAreNamed) {
  write();
  alter([](hid_t file) { H5Adelete(file, "step"); });
  expect_bad_data(model_, {"step"});
}

TEST_F(WeightsFile, TruncatedAnywhereFailsCleanly) {
  write();
  const std::string intact = contents(path_);
  for (std::size_t size = 0; size < intact.size(); size += 1 + intact.size() / 37) {
    overwrite(path_, intact.substr(0, size));
    expect_bad_data(model_, {});
  }
}

TEST_F(WeightsFile, MissingFileIsNoInput) {
  const Error error = failure(model_);
  EXPECT_EQ(error.code(), ExitCode::no_input);
  EXPECT_THAT(error.what(), HasSubstr(path_));
}

TEST_F(WeightsFile, FolderThatIsMissingIsNamed) {
  path_ = folder_.file("none/final_weights.h5");
  try {
    write();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::cannot_create);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(path_), HasSubstr("does not exist")));
  }
}

TEST_F(WeightsFile, FullDiskKeepsTheOlderFileAndLeavesNoPartialOne) {
  write();
  const std::string before = contents(path_);
  std::ranges::for_each(slab_, [](float& value) { value += 1; });

  std::string message;
  ExitCode code = ExitCode::success;
  try {
    const lockstep::testing::FileSizeLimit limit(2048);
    write();
  } catch (const Error& error) {
    code = error.code();
    message = error.what();
  }
  EXPECT_EQ(code, ExitCode::io_error);
  EXPECT_THAT(message, HasSubstr(path_));
  EXPECT_EQ(contents(path_), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace lockstep::checkpoint
