#include "checkpoint/snapshot.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "checkpoint/samples.h"
#include "io/error_of.h"
#include "io/hash.h"
#include "io/hdf5.h"
#include "io/hdf5_array.h"
#include "io/hdf5_attributes.h"
#include "io/process_limits.h"
#include "support/temporary_folder.h"

namespace lockstep::checkpoint {
namespace {

namespace fs = std::filesystem;
namespace hdf5 = io::hdf5;
using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using ::testing::ElementsAre;

class SnapshotFile : public ::testing::Test {
 protected:
  void write() { write_snapshot(path_, model_, snapshot_); }
  /// Expects all ways to read the file to fail like this.
  void expect_bad_data(std::initializer_list<std::string> parts) const {
    for (const Error& error :
         {error_of([&] { read_snapshot(path_, model_); }), error_of([&] { verify_snapshot(path_); }),
          error_of([&] { read_snapshot_header(path_); })}) {
      expect_error(error, ExitCode::bad_data, {path_});
      expect_error(error, ExitCode::bad_data, parts);
    }
  }
  void expect_other_model(const Parameters& model, std::initializer_list<std::string> parts) const {
    const Error error = error_of([&] { read_snapshot(path_, model); });
    expect_error(error, ExitCode::bad_data, {path_});
    expect_error(error, ExitCode::bad_data, parts);
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
  std::string path_ = folder_.file("step-000000000050.h5");
  Parameters model_ = small_model();
  Snapshot snapshot_ = snapshot_of(model_, 50);
};

TEST_F(SnapshotFile, RoundTripGivesTheSameBits) {
  snapshot_.weights[1] = std::bit_cast<float>(0x7fc12345U);  // a NaN with a payload
  snapshot_.weights[2] = -0.0F;
  snapshot_.weights[3] = std::numeric_limits<float>::denorm_min();
  snapshot_.optimizer[1].values[0] = std::numeric_limits<float>::infinity();
  write();
  expect_equal(read_snapshot(path_, model_), snapshot_);
  EXPECT_NO_THROW(verify_snapshot(path_));
}

TEST_F(SnapshotFile, ExtremeFactsComeBack) {
  snapshot_.epoch = std::numeric_limits<std::int64_t>::max();
  snapshot_.step = 0;
  snapshot_.sample_digest = std::numeric_limits<std::uint64_t>::max();
  for (const double value : {-0.0, 5e-324, 1e300, 0.1, 1.0 / 3.0, std::numeric_limits<double>::infinity()}) {
    snapshot_.seconds = value;
    snapshot_.last_loss = value;
    write();
    expect_equal(read_snapshot(path_, model_), snapshot_);
  }
}

TEST_F(SnapshotFile, WhatMayBeMissingMayBe) {
  snapshot_.experiment.clear();
  snapshot_.last_loss.reset();
  snapshot_.val_accuracy.reset();
  snapshot_.totals.clear();
  snapshot_.optimizer.clear();
  write();
  expect_equal(read_snapshot(path_, model_), snapshot_);
}

TEST_F(SnapshotFile, LongExperimentIsKept) {
  for (int layer = 0; layer < 20000; ++layer) snapshot_.experiment += "  - type: relu\n";
  write();
  expect_equal(read_snapshot(path_, model_), snapshot_);
}

TEST_F(SnapshotFile, GapsAreZerosAfterReading) {
  write();
  const Snapshot found = read_snapshot(path_, model_);
  const Parameter& bias = model_[1];
  for (std::int64_t i = bias.offset + bias.count; i < model_[2].offset; ++i) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(found.weights[static_cast<std::size_t>(i)]), 0U) << i;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(found.optimizer[0].values[static_cast<std::size_t>(i)]), 0U) << i;
  }
}

TEST_F(SnapshotFile, HeaderNeedsNoModel) {
  write();
  Snapshot expected = snapshot_of(model_, 50);
  expected.weights = {};
  expected.optimizer.clear();
  expect_equal(read_snapshot_header(path_), expected);
}

TEST_F(SnapshotFile, IsWhatTheReadmeSays) {
  write();
  const hdf5::File file = hdf5::open_file(path_);
  std::vector<std::string> names = {"/experiment"};
  for (const std::string group : {"/optimizer/moment1/", "/optimizer/moment2/", "/weights/"})
    for (const char* name : {"conv1.bias", "conv1.weight", "fc1.bias", "fc1.weight", "scale"})
      names.push_back(group + name);
  names.insert(names.end() - 5, {"/totals/correct", "/totals/loss", "/totals/samples"});
  EXPECT_EQ(hdf5::dataset_names(file), names);

  const hdf5::Array moment(file, path_, "/optimizer/moment2/conv1.weight");
  EXPECT_EQ(moment.type(), DType::f32);
  EXPECT_EQ(moment.shape(), model_[2].shape);
  EXPECT_EQ(moment.storage(), "contiguous");
  std::vector<float> values(150);
  moment.read({0, 3}, DType::f32, values.data());
  EXPECT_TRUE(
      std::equal(values.begin(), values.end(), snapshot_.optimizer[1].values.data() + model_[2].offset));
  EXPECT_EQ(hdf5::read_text(moment.id(), "checksum"), io::hash_text(std::as_bytes(std::span(values))));
  EXPECT_EQ(hdf5::Array(file, path_, "/totals/loss").type(), DType::f64);
  EXPECT_EQ(hdf5::Array(file, path_, "/totals/correct").type(), DType::i64);
  EXPECT_EQ(hdf5::Array(file, path_, "/totals/samples").shape(), Shape{5});
  EXPECT_EQ(hdf5::Array(file, path_, "/experiment").type(), DType::u8);

  EXPECT_EQ(hdf5::read_text(file.get(), "format"), "lockstep checkpoint");
  EXPECT_EQ(hdf5::read_integer(file.get(), "version"), 2);
  EXPECT_EQ(hdf5::read_integer(file.get(), "epoch"), 2);
  EXPECT_EQ(hdf5::read_integer(file.get(), "step"), 10);
  EXPECT_EQ(hdf5::read_integer(file.get(), "global_step"), 50);
  EXPECT_EQ(hdf5::read_text(file.get(), "seconds"), "5");
  EXPECT_EQ(hdf5::read_text(file.get(), "val_accuracy"), "0.3333333333333333");
  EXPECT_EQ(hdf5::read_text(file.get(), "weights_digest"), "0000000000000032");
}

TEST_F(SnapshotFile, ChecksumOfTheRootIsTheDocumentedOne) {
  write();
  const hdf5::File file = hdf5::open_file(path_);
  std::string lines;
  for (const std::string& name : hdf5::dataset_names(file))
    lines +=
        name + " " + hdf5::read_text(hdf5::Array(file, path_, name).id(), "checksum").value_or("") + "\n";
  lines += "arithmetic scalar, build 7\ndata 60 samples\nepoch 2\nglobal_step 50\n";
  for (const std::string name : {"last_loss", "optimizer_digest", "sample_digest", "seconds"})
    lines += name + " " + hdf5::read_text(file.get(), name).value_or("") + "\n";
  lines += "step 10\n";
  for (const std::string name : {"val_accuracy", "weights_digest"})
    lines += name + " " + hdf5::read_text(file.get(), name).value_or("") + "\n";
  EXPECT_EQ(hdf5::read_text(file.get(), "checksum"), io::hash_text(std::as_bytes(std::span(lines))));
}

TEST_F(SnapshotFile, SameStateGivesTheSameBytes) {
  write();
  const std::string first = contents(path_);
  write();
  EXPECT_EQ(contents(path_), first);
}

TEST_F(SnapshotFile, OtherModelIsRefusedByName) {
  write();
  Parameters other = small_model();
  other.declare("fc2.bias", {2});
  expect_other_model(other, {"/weights does not fit the model", "the file lacks fc2.bias"});
  Parameters fewer;
  for (int i = 0; i < 4; ++i) fewer.declare(model_[i].name, model_[i].shape);
  expect_other_model(fewer, {"/weights does not fit the model", "the model lacks scale"});
  Parameters reshaped;
  for (int i = 0; i < 5; ++i) reshaped.declare(model_[i].name, i == 2 ? Shape{2, 3, 5, 5} : model_[i].shape);
  expect_other_model(reshaped, {"/weights/conv1.weight", "3×2×5×5", "2×3×5×5"});
}

TEST_F(SnapshotFile, FutureVersionIsRefused) {
  write();
  alter([](hid_t file) {
    const hdf5::Attribute version(H5Aopen(file, "version", H5P_DEFAULT));
    const std::int64_t next = 3;
    H5Awrite(version.get(), H5T_NATIVE_INT64, &next);
  });
  expect_bad_data({"version 3", "versions 1 to 2 only"});
}

TEST_F(SnapshotFile, OfTheFirstVersionIsRead) {
  write();
  alter([](hid_t file) {
    const hdf5::Attribute version(H5Aopen(file, "version", H5P_DEFAULT));
    const std::int64_t first = 1;
    H5Awrite(version.get(), H5T_NATIVE_INT64, &first);
  });
  expect_equal(read_snapshot(path_, model_), snapshot_);
}

TEST_F(SnapshotFile, HoldsAnAverageOfWeights) {
  add_average(snapshot_, model_);
  write();
  expect_equal(read_snapshot(path_, model_), snapshot_);
  EXPECT_NO_THROW(verify_snapshot(path_));
  EXPECT_EQ(read_snapshot_header(path_).average_count, 12);
  const hdf5::File file = hdf5::open_file(path_);
  EXPECT_EQ(hdf5::Array(file, path_, "/average/conv1.weight").shape(), model_[2].shape);
  EXPECT_EQ(hdf5::read_integer(file.get(), "average_count"), 12);
}

TEST_F(SnapshotFile, AMissingOrDamagedAverageIsNoticed) {
  add_average(snapshot_, model_);
  for (const char* name : {"average_count", "average_digest"}) {
    write();
    alter([&](hid_t file) { H5Adelete(file, name); });
    expect_bad_data({"the file is damaged"});
  }
  write();
  alter([](hid_t file) { H5Ldelete(file, "/average", H5P_DEFAULT); });
  expect_bad_data({"the file is damaged"});
}

TEST_F(SnapshotFile, EveryMissingAttributeIsNoticed) {
  for (const char* name : {"epoch", "step", "global_step", "seconds", "sample_digest", "weights_digest",
                           "optimizer_digest", "checksum"}) {
    write();
    alter([&](hid_t file) { H5Adelete(file, name); });
    expect_bad_data({fmt::format("attribute '{}' is missing", name)});
  }
  for (const char* name : {"last_loss", "val_accuracy"}) {
    write();
    alter([&](hid_t file) { H5Adelete(file, name); });
    expect_bad_data({"damaged", "attributes"});
  }
  write();
  alter([](hid_t file) { H5Adelete(file, "format"); });
  expect_bad_data({"not a Lockstep checkpoint"});
  write();
  alter([](hid_t file) { H5Adelete_by_name(file, "/weights/fc1.bias", "checksum", H5P_DEFAULT); });
  expect_bad_data({"/weights/fc1.bias", "'checksum'"});
}

TEST_F(SnapshotFile, ChangedFactsAreNoticed) {
  write();
  alter([](hid_t file) {
    const hdf5::Attribute step(H5Aopen(file, "step", H5P_DEFAULT));
    const std::int64_t other = 11;
    H5Awrite(step.get(), H5T_NATIVE_INT64, &other);
  });
  expect_bad_data({"damaged", "attributes"});
}

TEST_F(SnapshotFile, MissingAndSuperfluousDataSetsAreNoticed) {
  for (const char* name : {"/optimizer/moment1/scale", "/optimizer/moment2", "/totals", "/experiment"}) {
    write();
    alter([&](hid_t file) { H5Ldelete(file, name, H5P_DEFAULT); });
    expect_bad_data({"damaged", "list of data sets"});
  }
  write();
  alter([](hid_t file) {
    H5Lmove(file, "/optimizer/moment1", file, "/optimizer/moment3", H5P_DEFAULT, H5P_DEFAULT);
  });
  expect_bad_data({"damaged", "list of data sets"});
}

TEST_F(SnapshotFile, FlippedBitOfATensorIsNamed) {
  const auto slab = [&](int which) -> const AlignedBuffer<float>& {
    return which == 0 ? snapshot_.weights : snapshot_.optimizer[static_cast<std::size_t>(which - 1)].values;
  };
  const std::vector<std::string> groups = {"/weights/", "/optimizer/moment1/", "/optimizer/moment2/"};
  for (int which = 0; which < 3; ++which)
    for (const Parameter& parameter : model_.all()) {
      write();
      damage_values(path_, slab(which).span().subspan(static_cast<std::size_t>(parameter.offset),
                                                      static_cast<std::size_t>(parameter.count)));
      expect_bad_data({"damaged", "first line"});
      seal_again(path_);  // as if the damage were older than the seal
      const std::string name = groups[static_cast<std::size_t>(which)] + parameter.name + ":";
      expect_other_model(model_, {name, "damaged", "xxh3-64:"});
      expect_error(error_of([&] { verify_snapshot(path_); }), ExitCode::bad_data, {path_, name, "damaged"});
      EXPECT_NO_THROW(read_snapshot_header(path_));
    }
}

TEST_F(SnapshotFile, AnyFlippedBitIsRefused) {
  Parameters tiny;
  tiny.declare("w", {2, 3});
  Snapshot snapshot = snapshot_of(tiny, 50);
  snapshot.optimizer.pop_back();
  write_snapshot(path_, tiny, snapshot);
  const std::string intact = contents(path_);
  std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](std::size_t at, unsigned value) {
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(value)).flush();
  };
  for (std::size_t at = 0; at < intact.size(); ++at) {
    const auto byte = static_cast<unsigned char>(intact[at]);
    put(at, byte ^ (1U << (at % 8)));
    ASSERT_EQ(error_of([&] { read_snapshot(path_, tiny); }).code(), ExitCode::bad_data) << "byte " << at;
    put(at, byte);
  }
  expect_equal(read_snapshot(path_, tiny), snapshot);
}

TEST_F(SnapshotFile, TruncatedAnywhereIsRefused) {
  write();
  const std::string intact = contents(path_);
  for (std::size_t size = 0; size < intact.size(); size += 1 + intact.size() / 37) {
    overwrite(path_, intact.substr(0, size));
    expect_bad_data({});
  }
  overwrite(path_, intact.substr(0, intact.size() - 1));
  expect_bad_data({"cut off"});
}

TEST_F(SnapshotFile, OtherFilesAreRefused) {
  expect_error(error_of([&] { read_snapshot(path_, model_); }), ExitCode::no_input, {path_});
  overwrite(path_, "");
  expect_bad_data({"empty"});
  overwrite(path_, "epoch,loss\n1,0.5\n");
  expect_bad_data({"not a Lockstep checkpoint"});
}

TEST_F(SnapshotFile, FolderThatIsMissingIsNamed) {
  path_ = folder_.file("none/step-000000000050.h5");
  expect_error(error_of([&] { write(); }), ExitCode::cannot_create, {path_, "does not exist"});
}

TEST_F(SnapshotFile, FullDiskKeepsTheOlderFileAndLeavesNoPartialOne) {
  write();
  const std::string before = contents(path_);
  snapshot_.weights[0] += 1;
  for (const std::uint64_t most_bytes : {0, 512, 3000, 9000}) {
    ASSERT_LT(most_bytes, before.size());
    Error error(ExitCode::success, "");
    {
      const lockstep::testing::FileSizeLimit limit(most_bytes);
      error = error_of([&] { write(); });
    }
    expect_error(error, ExitCode::io_error, {path_});
    EXPECT_EQ(contents(path_), before);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
  }
  write();
  expect_equal(read_snapshot(path_, model_), snapshot_);
}

}  // namespace
}  // namespace lockstep::checkpoint
