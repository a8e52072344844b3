#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/error_of.h"
#include "io/hdf5.h"
#include "io/hdf5_array.h"
#include "io/hdf5_attributes.h"
#include "io/hdf5_samples.h"
#include "io/process_limits.h"
#include "support/temporary_folder.h"

namespace lockstep::io::hdf5 {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::expect_error;
using testing::SampleArray;
using testing::TemporaryFolder;
using testing::write_hdf5;

double position(std::int64_t i) {
  return static_cast<double>(i % 100);
}

/// A file of some 100 kB through NewFile.
void write_new(const std::string& path, float first, NewFile::Sealed sealed = NewFile::Sealed::no) {
  NewFile file(path, sealed);
  file.create_group("/group");
  const Shape shape{100, 250};
  std::vector<float> values(25'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = first + static_cast<float>(i);
  {
    const Dataset dataset = create_array(file, "/group/values", DType::f32, shape);
    write_rows(file, dataset, DType::f32, shape, {0, 40}, values.data());
    write_rows(file, dataset, DType::f32, shape, {40, 100}, values.data() + 40 * 250);
    write_attribute(file, dataset.get(), "unit", "µm");
  }
  write_attribute(file, file.id(), "epoch", std::int64_t{-7'000'000'000});
  write_attribute(file, file.id(), "empty", "");
  file.commit();
}

TEST(NewFile, IsReadBackWhole) {
  const TemporaryFolder folder;
  const std::string path = folder.file("new.h5");
  write_new(path, 5);
  const File file = open_file(path);
  const Array array(file, path, "/group/values");
  EXPECT_EQ(array.shape(), (Shape{100, 250}));
  EXPECT_EQ(array.type(), DType::f32);
  std::vector<float> row(250);
  array.read({41, 42}, DType::f32, row.data());
  EXPECT_EQ(row[0], 5 + 41 * 250);
  EXPECT_EQ(row[249], 5 + 41 * 250 + 249);
  EXPECT_EQ(read_text(array.id(), "unit"), "µm");
  EXPECT_EQ(read_integer(file.get(), "epoch"), -7'000'000'000);
  EXPECT_EQ(read_text(file.get(), "empty"), "");
  EXPECT_EQ(read_text(file.get(), "epoch"), std::nullopt);
  EXPECT_EQ(read_integer(file.get(), "missing"), std::nullopt);
}

TEST(NewFile, LeavesTheOldFileWhenNotCommitted) {
  const TemporaryFolder folder;
  const std::string path = folder.file("new.h5");
  write_new(path, 5);
  {
    NewFile file(path);
    file.create_group("/other");
  }
  EXPECT_EQ(dataset_names(open_file(path)), std::vector<std::string>{"/group/values"});
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

// The library itself crashes when it closes a file that it could not write: each limit stops it elsewhere.
TEST(NewFile, SurvivesAFullDisk) {
  const TemporaryFolder folder;
  for (const std::uint64_t room : {0U, 50U, 500U, 1000U, 2000U, 4000U, 50'000U, 100'000U}) {
    ::testing::internal::CaptureStderr();
    const Error error = error_of([&] {
      const testing::FileSizeLimit limit(room);
      write_new(folder.file("full.h5"), 0);
    });
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), "") << "one message is enough";
    expect_error(error, ExitCode::io_error, {"cannot write", "full.h5", "File too large"});
    EXPECT_TRUE(fs::is_empty(folder.path())) << room;
  }
  write_new(folder.file("after.h5"), 3);
  EXPECT_EQ(dataset_names(open_file(folder.file("after.h5"))).size(), 1U);
}

TEST(NewFile, LeavesNothingOpenWhenASealedOneFails) {
  const TemporaryFolder folder;
  const auto open_descriptors = [] {
    const auto all = fs::directory_iterator("/proc/self/fd");
    return std::distance(fs::begin(all), fs::end(all));
  };
  const auto open_files = [] { return H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_FILE); };
  const auto files_before = open_files();
  const auto before = open_descriptors();
  for (const std::uint64_t room : {0U, 500U, 4000U, 50'000U}) {
    const Error error = error_of([&] {
      const testing::FileSizeLimit limit(room);
      write_new(folder.file("full.h5"), 0, NewFile::Sealed::yes);
    });
    expect_error(error, ExitCode::io_error, {"cannot write", "full.h5", "File too large"});
    EXPECT_TRUE(fs::is_empty(folder.path())) << room;
  }
  NewFile(folder.file("given_up.h5"), NewFile::Sealed::yes).create_group("/group");
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(open_files(), files_before);
}

// With the library's usual buffer, rows of a small data set would stay in it until then.
TEST(WriteRows, FindsAFullDiskItselfAndNotWhenTheDataSetIsClosed) {
  const TemporaryFolder folder;
  constexpr std::int64_t rows = 1000;
  const std::vector<float> values(rows, 1.0F);
  for (const std::uint64_t room : {1000U, 3000U, 5000U, 7000U}) {  // for none, or one, but not for two
    ::testing::internal::CaptureStderr();
    const Error error = error_of([&] {
      NewFile file(folder.file("full.h5"));
      const testing::FileSizeLimit limit(room);
      for (const char* name : {"/a", "/b"}) {
        const Dataset dataset = create_array(file, name, DType::f32, {rows});
        write_rows(file, dataset, DType::f32, {rows}, {0, rows}, values.data());
      }
      ADD_FAILURE() << "both were written with room for " << room;
    });
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), "") << "one message is enough";
    expect_error(error, ExitCode::io_error, {"cannot write", "full.h5", "File too large"});
  }
}

TEST(OpenFile, SaysWhyAFileCannotBeRead) {
  const TemporaryFolder folder;
  const std::string path = folder.file("data.h5");
  const auto open = [](const std::string& name) { return error_of([&] { open_file(name); }); };

  expect_error(open(path), ExitCode::no_input, {path, "no such file"});
  expect_error(open(folder.path().string()), ExitCode::no_input, {folder.path().string(), "it is a folder"});
  write_file(path, "");
  expect_error(open(path), ExitCode::bad_data, {path, "is empty"});
  write_file(path, "images,labels\n1,2\n");
  expect_error(open(path), ExitCode::bad_data, {path, "not an HDF5 file"});
  expect_error(error_of([&] { open_file(path, "knit one"); }), ExitCode::bad_data,
               {"not an HDF5 file; knit one"});
  expect_error(error_of([&] { open_file(path + "2", "knit one"); }), ExitCode::no_input,
               {path + "2': no such file; knit one"});
  expect_error(open(path + "/below"), ExitCode::no_input, {"Not a directory"});

  write_new(path, 0);
  const auto size = fs::file_size(path);
  for (const auto kept : {size - 1, size / 2, std::uintmax_t{600}}) {
    fs::resize_file(path, kept);
    expect_error(open(path), ExitCode::bad_data, {path, "is cut off"});
  }
  fs::resize_file(path, 20);
  expect_error(open(path), ExitCode::bad_data, {path, "damaged"});
}

TEST(OpenFile, SaysThatItMayNot) {
  const TemporaryFolder folder;
  const std::string path = folder.file("data.h5");
  write_new(path, 0);
  fs::permissions(path, fs::perms::none);
  fs::permissions(folder.path(), fs::perms{0711});
  const Error error = error_of([&] {
    const testing::OrdinaryUser user;
    open_file(path);
  });
  expect_error(error, ExitCode::no_input, {path, "Permission denied"});
}

TEST(DatasetNames, ListsThisFileOnlyAndEndsInCycles) {
  const TemporaryFolder folder;
  const std::string other = folder.file("other.h5");
  const std::string path = folder.file("data.h5");
  write_hdf5(other, {{"/x", H5T_STD_U8LE, {3}, position}});
  write_hdf5(path, {{"/b/images", H5T_STD_U8LE, {3}, position}, {"/a", H5T_STD_U8LE, {3}, position}});
  {
    const File file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
    H5Lcreate_external(other.c_str(), "/x", file.get(), "/elsewhere", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/a", file.get(), "/soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file.get(), "/", file.get(), "/b/cycle", H5P_DEFAULT, H5P_DEFAULT);
  }
  const auto names = dataset_names(open_file(path));
  ASSERT_GE(names.size(), 2U);
  EXPECT_EQ(names[0], "/a");
  for (const std::string& name : names)
    EXPECT_TRUE(name.ends_with("/a") || name.ends_with("/b/images")) << name;
}

}  // namespace
}  // namespace lockstep::io::hdf5
