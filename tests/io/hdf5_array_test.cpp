#include "io/hdf5_array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "io/error_of.h"
#include "io/hdf5_samples.h"
#include "support/temporary_folder.h"

namespace lockstep::io::hdf5 {
namespace {

using testing::error_of;
using testing::expect_error;
using testing::SampleArray;
using testing::write_hdf5;

double position(std::int64_t i) {
  return static_cast<double>(i % 120);
}

class Hdf5Array : public ::testing::Test {
 protected:
  Array open(const std::vector<SampleArray>& arrays, const std::string& name = "/x") {
    write_hdf5(path_, arrays);
    file_ = open_file(path_);
    return Array(file_, path_, name);
  }
  Error refusal(const std::vector<SampleArray>& arrays, const std::string& name = "/x") {
    file_.reset();
    return error_of([&] { open(arrays, name); });
  }

  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_.file("data.h5");
  File file_;
};

TEST_F(Hdf5Array, ReadsEveryTypeInEitherByteOrder) {
  const std::vector<std::pair<hid_t, DType>> types = {
      {H5T_STD_U8LE, DType::u8},    {H5T_STD_U8BE, DType::u8},    {H5T_STD_I8LE, DType::i8},
      {H5T_STD_U16LE, DType::u16},  {H5T_STD_U16BE, DType::u16},  {H5T_STD_I16LE, DType::i16},
      {H5T_STD_I16BE, DType::i16},  {H5T_STD_U32LE, DType::u32},  {H5T_STD_U32BE, DType::u32},
      {H5T_STD_I32LE, DType::i32},  {H5T_STD_I32BE, DType::i32},  {H5T_STD_U64LE, DType::u64},
      {H5T_STD_U64BE, DType::u64},  {H5T_STD_I64LE, DType::i64},  {H5T_STD_I64BE, DType::i64},
      {H5T_IEEE_F32LE, DType::f32}, {H5T_IEEE_F32BE, DType::f32}, {H5T_IEEE_F64LE, DType::f64},
      {H5T_IEEE_F64BE, DType::f64}};
  for (const auto& [stored, expected] : types) {
    file_.reset();
    const Array array = open({{"/x", stored, {5, 7}, position}});
    ASSERT_EQ(array.type(), expected);
    EXPECT_EQ(array.row_bytes(), 7 * static_cast<std::int64_t>(size_of(expected)));
    with_type(expected, [&]<class T>(T) {
      std::vector<T> values(14);
      array.read({2, 4}, expected, values.data());
      for (std::size_t i = 0; i < values.size(); ++i)
        EXPECT_EQ(static_cast<double>(values[i]), position(14 + static_cast<std::int64_t>(i)))
            << name_of(expected);
    });
  }
}

TEST_F(Hdf5Array, ReadsRunsFromContiguousAndChunkedStorage) {
  for (const std::vector<hsize_t>& chunk : {std::vector<hsize_t>{}, {1, 3}, {4, 2}, {200, 3}}) {
    file_.reset();
    SampleArray sample{
        "/x", H5T_STD_U16LE, {100, 3}, [](std::int64_t i) { return static_cast<double>(i); }, chunk};
    if (chunk.size() > 0 && chunk[0] == 200)
      sample.chunk[0] = 100;  // a chunk may not exceed a data set of fixed size
    const Array array = open({sample});
    std::vector<std::uint16_t> values(7 * 4 * 3);
    array.read_runs(5, 4, 13, 7, DType::u16, values.data());
    std::size_t at = 0;
    for (int run = 0; run < 7; ++run)
      for (int element = 0; element < 12; ++element, ++at)
        ASSERT_EQ(values[at], (5 + run * 13) * 3 + element);
  }
}

TEST_F(Hdf5Array, DescribesStorage) {
  const Array array = open({{"/x", H5T_STD_U8LE, {10, 4}, position, {5, 4}, [](hid_t creation) {
                               H5Pset_shuffle(creation);
                               H5Pset_deflate(creation, 4);
                               H5Pset_fletcher32(creation);
                             }}});
  EXPECT_EQ(array.storage(), "chunks of 5×4, shuffle, deflate, fletcher32");
  EXPECT_EQ(array.chunk_rows(), 5);
  std::vector<std::uint8_t> values(40);
  array.read({0, 10}, DType::u8, values.data());
  EXPECT_EQ(values[39], 39);
}

TEST_F(Hdf5Array, BlocksAreWholeChunks) {
  const Array array = open({{"/x", H5T_STD_U8LE, {12, 262'144}, position, {5, 262'144}}});
  EXPECT_EQ(array.block_rows(DType::u8), 12);
  EXPECT_EQ(array.block_rows(DType::f64), 5);  // 16 MiB have room for 8
}

TEST_F(Hdf5Array, ReadsBytesAsStored) {
  const Array array =
      open({{"/x", H5T_STD_U16BE, {4, 1}, [](std::int64_t i) { return static_cast<double>(256 * i + 1); }}});
  std::vector<std::byte> bytes(4);
  array.read_stored({1, 3}, bytes);
  EXPECT_EQ(bytes, (std::vector{std::byte{1}, std::byte{1}, std::byte{2}, std::byte{1}}));
}

TEST_F(Hdf5Array, NamesWhatTheFileHasInstead) {
  const Error error =
      refusal({{"/train/data", H5T_STD_U8LE, {3}, position}, {"/train/target", H5T_STD_U8LE, {3}, position}},
              "/train/images");
  expect_error(error, ExitCode::bad_data,
               {path_, "no data set '/train/images'", "/train/data, /train/target"});
  expect_error(refusal({{"/train/data", H5T_STD_U8LE, {3}, position}}, "/train"), ExitCode::bad_data,
               {path_ + ": /train", "a group"});
}

TEST_F(Hdf5Array, RefusesOtherTypes) {
  const Datatype half(H5Tcopy(H5T_IEEE_F32LE));
  H5Tset_fields(half.get(), 15, 10, 5, 0, 10);
  H5Tset_size(half.get(), 2);
  H5Tset_ebias(half.get(), 15);
  expect_error(refusal({{"/x", half.get(), {3}, position}}), ExitCode::bad_data, {path_ + ": /x", "float16"});

  const Datatype narrow(H5Tcopy(H5T_STD_U16LE));
  H5Tset_precision(narrow.get(), 12);
  expect_error(refusal({{"/x", narrow.get(), {3}, position}}), ExitCode::bad_data, {"not standard"});

  const Datatype text(H5Tcopy(H5T_C_S1));
  expect_error(refusal({{"/x", text.get(), {3}, {}}}), ExitCode::bad_data, {"strings"});

  const Datatype boolean(H5Tenum_create(H5T_STD_I8LE));
  const signed char no = 0;
  H5Tenum_insert(boolean.get(), "FALSE", &no);
  expect_error(refusal({{"/x", boolean.get(), {3}, {}}}), ExitCode::bad_data, {"bool"});
}

TEST_F(Hdf5Array, RefusesStorageThatItCannotTrust) {
  const auto compact = [](hid_t creation) { H5Pset_layout(creation, H5D_COMPACT); };
  expect_error(refusal({{"/x", H5T_STD_U8LE, {3}, position, {}, compact}}), ExitCode::bad_data,
               {"compact", "h5repack"});

  const auto external = [](hid_t creation) { H5Pset_external(creation, "/etc/hostname", 0, 3); };
  expect_error(refusal({{"/x", H5T_STD_U8LE, {3}, {}, {}, external}}), ExitCode::bad_data, {"external"});

  const auto mapped = [](hid_t creation) {
    const hsize_t rows = 3;
    const Dataspace space(H5Screate_simple(1, &rows, nullptr));
    H5Pset_virtual(creation, space.get(), "other.h5", "/x", space.get());
  };
  expect_error(refusal({{"/x", H5T_STD_U8LE, {3}, {}, {}, mapped}}), ExitCode::bad_data, {"virtual"});

  const auto other_filter = [](hid_t creation) { H5Pset_scaleoffset(creation, H5Z_SO_INT, 0); };
  expect_error(refusal({{"/x", H5T_STD_U8LE, {6}, position, {2}, other_filter}}), ExitCode::bad_data,
               {"scaleoffset", "h5repack"});
}

TEST_F(Hdf5Array, RefusesWhatWasNeverWritten) {
  expect_error(refusal({{"/x", H5T_STD_U8LE, {3}, {}}}), ExitCode::bad_data, {"no data were ever written"});
  expect_error(refusal({{"/x", H5T_STD_U8LE, {6}, {}, {2}}}), ExitCode::bad_data,
               {"no data were ever written"});
  expect_error(refusal({{"/x", H5T_STD_U8LE, {6}, position, {2}, {}, 3}}), ExitCode::bad_data,
               {"2 of its 3 chunks"});
}

TEST_F(Hdf5Array, RefusesASizeThatDoesNotFitTheShape) {
  constexpr std::uint64_t size = 7 * 11 * 13;
  write_hdf5(path_, {{"/x", H5T_STD_U8LE, {7, 11, 13}, position}});
  std::uint64_t address = 0;
  {
    const File file = open_file(path_);
    const Array array(file, path_, "/x");
    address = H5Dget_offset(array.id());
  }
  // The layout message holds the address of the data and their size, one after the other.
  std::string bytes;
  {
    std::ifstream stream(path_, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  }
  std::string pattern(16, '\0');
  std::memcpy(pattern.data(), &address, 8);
  std::memcpy(pattern.data() + 8, &size, 8);
  const std::size_t found = bytes.find(pattern);
  ASSERT_NE(found, std::string::npos);
  bytes[found + 8] = static_cast<char>(bytes[found + 8] - 1);
  std::ofstream(path_, std::ios::binary) << bytes;
  const Error error = error_of([&] {
    const File file = open_file(path_);
    const Array array(file, path_, "/x");
  });
  expect_error(error, ExitCode::bad_data, {path_, "1000 bytes", "1001"});
}

TEST_F(Hdf5Array, RefusesLinksToOtherFiles) {
  const std::string other = folder_.file("other.h5");
  write_hdf5(other, {{"/x", H5T_STD_U8LE, {3}, position}});
  write_hdf5(path_, {{"/y", H5T_STD_U8LE, {3}, position}});
  {
    const File file(H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT));
    H5Lcreate_external(other.c_str(), "/x", file.get(), "/x", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/y", file.get(), "/soft", H5P_DEFAULT, H5P_DEFAULT);
  }
  const File file = open_file(path_);
  expect_error(error_of([&] { const Array array(file, path_, "/x"); }), ExitCode::bad_data,
               {"/x", "link to another file"});
  EXPECT_EQ(Array(file, path_, "/soft").rows(), 3);
}

TEST_F(Hdf5Array, ReportsDamageThatAFilterNotices) {
  const auto checked = [](hid_t creation) { H5Pset_fletcher32(creation); };
  write_hdf5(path_, {{"/x", H5T_STD_U8LE, {64}, [](std::int64_t) { return 77.0; }, {64}, checked}});
  std::string bytes;
  {
    std::ifstream stream(path_, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  }
  const std::size_t found = bytes.find(std::string(64, static_cast<char>(77)));
  ASSERT_NE(found, std::string::npos);
  bytes[found + 10] = 76;
  std::ofstream(path_, std::ios::binary) << bytes;
  const File file = open_file(path_);
  const Array array(file, path_, "/x");
  std::vector<std::uint8_t> values(64);
  expect_error(error_of([&] { array.read({0, 64}, DType::u8, values.data()); }), ExitCode::bad_data,
               {path_ + ": /x", "rows 0 to 63"});
}

}  // namespace
}  // namespace lockstep::io::hdf5
