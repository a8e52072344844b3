#include "data/import/import_idx.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "data/hdf5_dataset.h"
#include "data/idx_samples.h"
#include "data/manifest.h"
#include "io/atomic_file.h"
#include "io/error_of.h"
#include "io/gzip_file.h"
#include "io/gzip_samples.h"
#include "io/hash.h"
#include "io/hdf5_array.h"
#include "io/hdf5_attributes.h"
#include "io/process_limits.h"
#include "support/temporary_folder.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;
namespace hdf5 = io::hdf5;
using lockstep::testing::counting_bytes;
using lockstep::testing::counting_labels;
using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using lockstep::testing::gzip;
using lockstep::testing::idx;
using Outcome = ImportReport::Outcome;

std::string contents(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class ImportIdx : public ::testing::Test {
 protected:
  ImportIdx() {
    put("images", images);
    put("labels", labels);
  }

  void put(const std::string& name, const std::string& bytes) {
    io::write_file(folder_.path() / name, bytes);
  }
  [[nodiscard]] IdxPair pair() const { return {folder_.path() / "images", folder_.path() / "labels"}; }
  [[nodiscard]] ImportRequest request() const { return {output, pair(), std::nullopt, false}; }

  Error import_error(const ImportRequest& request) {
    const Error error = error_of([&] { import_idx(request); });
    EXPECT_FALSE(fs::exists(output)) << error.what();
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      EXPECT_EQ(entry.path().string().find("partial"), std::string::npos) << entry.path();
    return error;
  }
  Error import_error() { return import_error(request()); }
  Error with_images(const std::string& bytes) {
    put("images", bytes);
    return import_error();
  }
  Error with_labels(const std::string& bytes) {
    put("labels", bytes);
    return import_error();
  }

  const lockstep::testing::TemporaryFolder folder_;
  const fs::path output = folder_.path() / "out.h5";
  const std::string images = idx(0x08, {50, 4, 6}, counting_bytes(1200));
  const std::string labels = idx(0x08, {50}, counting_labels(50));
};

TEST_F(ImportIdx, WritesTheDocumentedLayout) {
  put("test-images", gzip(idx(0x08, {20, 4, 6}, counting_bytes(480))));
  put("test-labels", gzip(idx(0x08, {20}, counting_labels(20))));
  ImportRequest with_test = request();
  with_test.test = IdxPair{folder_.path() / "test-images", folder_.path() / "test-labels"};
  const ImportReport report = import_idx(with_test);
  EXPECT_EQ(report.outcome, Outcome::written);
  ASSERT_EQ(report.splits.size(), 2U);
  EXPECT_EQ(report.splits[1].images, (Shape{20, 1, 4, 6}));
  EXPECT_EQ(report.splits[0].classes, 10);

  const hdf5::File file = hdf5::open_file(output);
  EXPECT_EQ(hdf5::dataset_names(file),
            (std::vector<std::string>{"/test/images", "/test/labels", "/train/images", "/train/labels"}));
  const hdf5::Array array(file, output, "/train/images");
  EXPECT_EQ(array.shape(), (Shape{50, 1, 4, 6}));
  EXPECT_EQ(array.type(), DType::u8);
  EXPECT_EQ(array.storage(), "contiguous");
  std::string pixels(1200, '\0');
  array.read({0, 50}, DType::u8, pixels.data());
  EXPECT_EQ(pixels, counting_bytes(1200));
  EXPECT_EQ(hdf5::read_text(array.id(), "checksum"), io::hash_text(std::as_bytes(std::span(pixels))));
  const hdf5::Array classes(file, output, "/test/labels");
  std::string values(20, '\0');
  classes.read({0, 20}, DType::u8, values.data());
  EXPECT_EQ(values, counting_labels(20));

  EXPECT_EQ(hdf5::read_text(file.get(), "format"), "lockstep images and labels");
  EXPECT_EQ(hdf5::read_integer(file.get(), "format_version"), 1);
  EXPECT_TRUE(hdf5::read_text(file.get(), "importer").value_or("").starts_with("lockstep "));
  const std::string sources = hdf5::read_text(file.get(), "sources").value_or("");
  const std::string first =
      fmt::format("/train/images images 1216 {}\n", io::hash_file(folder_.path() / "images"));
  EXPECT_TRUE(sources.starts_with(first)) << sources;
  EXPECT_EQ(sources.find(folder_.path().string()), std::string::npos);
}

TEST_F(ImportIdx, IsReadByTheDataset) {
  import_idx(request());
  const config::Split split{output.string(), "/train/images", "/train/labels"};
  const DatasetInfo info = inspect_dataset(split);
  EXPECT_EQ(info.image, (Shape{1, 4, 6}));
  EXPECT_NE(info.manifest.find("/train/images xxh3-64:"), std::string::npos);
  EXPECT_NE(info.manifest.find("/train/labels xxh3-64:"), std::string::npos);
  const auto dataset = read_dataset(split, info, std::nullopt, {});
  std::vector<float> image(24);
  dataset->gather(49, 2, image);
  EXPECT_EQ(image[23], static_cast<float>(1199 * 7 % 251 * 2));
  EXPECT_EQ(dataset->label(49), 9);
}

TEST_F(ImportIdx, SameSourcesGiveTheSameBytes) {
  import_idx(request());
  const std::string first = contents(output);
  fs::create_directory(folder_.path() / "elsewhere");
  for (const char* name : {"images", "labels"})
    fs::copy_file(folder_.path() / name, folder_.path() / "elsewhere" / name);
  ImportRequest again{folder_.path() / "again.h5",
                      {folder_.path() / "elsewhere/images", folder_.path() / "elsewhere/labels"},
                      {},
                      false};
  import_idx(again);
  EXPECT_EQ(contents(again.output), first);
}

TEST_F(ImportIdx, ReadsEveryTypeBigEndian) {
  struct Example {
    unsigned char code;
    DType type;
  };
  for (const Example& example : {Example{0x08, DType::u8},
                                 {0x09, DType::i8},
                                 {0x0B, DType::i16},
                                 {0x0C, DType::i32},
                                 {0x0D, DType::f32},
                                 {0x0E, DType::f64}}) {
    with_type(example.type, [&]<class T>(T) {
      std::string payload;
      for (int i = 0; i < 50 * 3; ++i) {
        const T value = static_cast<T>(i % 100 - 10);
        char bytes[sizeof(T)];
        std::memcpy(bytes, &value, sizeof(T));
        for (std::size_t byte = sizeof(T); byte-- > 0;) payload.push_back(bytes[byte]);
      }
      put("images", idx(example.code, {50, 3}, payload));
    });
    ImportRequest forced = request();
    forced.force = true;
    EXPECT_EQ(import_idx(forced).splits[0].type, example.type);
    const hdf5::File file = hdf5::open_file(output);
    const hdf5::Array array(file, output, "/train/images");
    EXPECT_EQ(array.type(), example.type);
    EXPECT_EQ(array.shape(), (Shape{50, 3}));
    std::vector<double> values(150);
    array.read({0, 50}, DType::f64, values.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double expected = static_cast<double>(i % 100) - 10;
      EXPECT_EQ(values[i], example.type == DType::u8 && expected < 0 ? expected + 256 : expected);
    }
  }
}

TEST_F(ImportIdx, LeavesAnUpToDateOutputAlone) {
  import_idx(request());
  const auto written = fs::last_write_time(output);
  EXPECT_EQ(import_idx(request()).outcome, Outcome::unchanged);
  EXPECT_EQ(fs::last_write_time(output), written);
}

TEST_F(ImportIdx, ReplacesAnotherOutputOnlyWhenForced) {
  import_idx(request());
  const std::string before = contents(output);
  put("labels", idx(0x08, {50}, std::string(50, '\3')));
  expect_error(error_of([&] { import_idx(request()); }), ExitCode::cannot_create,
               {output.string(), "--force"});
  EXPECT_EQ(contents(output), before);
  ImportRequest forced = request();
  forced.force = true;
  EXPECT_EQ(import_idx(forced).outcome, Outcome::written);
  EXPECT_EQ(import_idx(request()).outcome, Outcome::unchanged);

  io::write_file(output, "notes");
  expect_error(error_of([&] { import_idx(request()); }), ExitCode::cannot_create,
               {output.string(), "--force"});
  EXPECT_EQ(contents(output), "notes");
}

TEST_F(ImportIdx, AFailureLeavesTheOldOutput) {
  import_idx(request());
  const std::string before = contents(output);
  put("labels", gzip(labels).substr(0, 20));
  ImportRequest forced = request();
  forced.force = true;
  EXPECT_EQ(error_of([&] { import_idx(forced); }).code(), ExitCode::bad_data);
  EXPECT_EQ(contents(output), before);
}

TEST_F(ImportIdx, RefusesInputsThatAreMissingOrNotIdx) {
  ImportRequest missing = request();
  missing.train.labels = folder_.path() / "nothing";
  expect_error(import_error(missing), ExitCode::no_input, {"nothing", "no such file"});
  missing.train.labels = folder_.path();
  expect_error(import_error(missing), ExitCode::no_input, {"it is a folder"});
  expect_error(with_images(""), ExitCode::bad_data, {"images", "is empty"});
  expect_error(with_images("PNG, perhaps"), ExitCode::bad_data, {"images", "not an IDX file"});
  expect_error(with_images(std::string("\0\0\x0A\3", 4)), ExitCode::bad_data, {"not an IDX file"});
  expect_error(with_images(images.substr(0, 9)), ExitCode::bad_data, {"cut off within its IDX header"});
  expect_error(with_images(gzip("text")), ExitCode::bad_data, {"not an IDX file"});
}

TEST_F(ImportIdx, RefusesLengthsThatDoNotFitTheHeader) {
  expect_error(with_images(images.substr(0, 1000)), ExitCode::bad_data,
               {"images", "has 1000 bytes", "promises 1216"});
  expect_error(with_images(images + "x"), ExitCode::bad_data, {"has 1217 bytes", "promises 1216"});
  expect_error(with_images(gzip(images.substr(0, 1000))), ExitCode::bad_data,
               {"images", "ends before", "50×4×6"});
  expect_error(with_images(gzip(images + "x")), ExitCode::bad_data, {"images", "goes on after", "50×4×6"});
}

TEST_F(ImportIdx, RefusesAHeaderThatLiesWithoutMakingRoomForIt) {
  const std::string lie = idx(0x0E, {0xFFFFFFFF, 4000, 3000}, counting_bytes(1200));
  expect_error(with_images(lie), ExitCode::bad_data, {"images", "promises"});
  expect_error(with_images(gzip(lie)), ExitCode::bad_data, {"images", "cannot hold"});
  const std::vector<std::uint32_t> huge(200, 0xFFFFFFFF);
  expect_error(with_images(idx(0x0E, huge, "")), ExitCode::bad_data, {"more than any file has"});
}

TEST_F(ImportIdx, RefusesDamagedGzip) {
  const std::string packed = gzip(images);
  expect_error(with_images(packed.substr(0, packed.size() - 5)), ExitCode::bad_data, {"images", "cut off"});
  std::string damaged = packed;
  damaged[packed.size() - 6] ^= 4;
  expect_error(with_images(damaged), ExitCode::bad_data, {"images", "incorrect data check"});
  expect_error(with_images(packed + "more"), ExitCode::bad_data, {"images", "other bytes after"});
}

TEST_F(ImportIdx, RefusesPairsThatDoNotFit) {
  expect_error(with_labels(idx(0x08, {49}, counting_labels(49))), ExitCode::bad_data,
               {"49 labels for the 50 images"});
  expect_error(with_labels(idx(0x08, {50, 1}, counting_labels(50))), ExitCode::bad_data, {"labels", "50×1"});
  expect_error(with_labels(idx(0x0D, {50}, std::string(200, '\0'))), ExitCode::bad_data,
               {"labels", "f32, not integers"});
  std::string negative = counting_labels(50);
  negative[31] = '\xFE';
  expect_error(with_labels(idx(0x09, {50}, negative)), ExitCode::bad_data, {"labels", "row 31 is -2"});
  put("labels", labels);
  expect_error(with_images(idx(0x08, {50}, counting_bytes(50))), ExitCode::bad_data, {"images", "no images"});
  expect_error(with_images(idx(0x08, {0, 4, 6}, "")), ExitCode::bad_data, {"images", "no samples"});
  expect_error(with_images(idx(0x08, {50, 4, 3, 1, 2}, counting_bytes(1200))), ExitCode::bad_data,
               {"no images"});
}

TEST_F(ImportIdx, SaysWhyItCannotWrite) {
  ImportRequest bad = request();
  bad.output = folder_.path() / "images" / "out.h5";
  expect_error(import_error(bad), ExitCode::cannot_create, {"is not a folder"});
  bad.output = folder_.path() / "missing" / "out.h5";
  expect_error(import_error(bad), ExitCode::cannot_create, {"missing' does not exist"});
  bad.output = "/dev/full";
  bad.force = true;
  expect_error(import_error(bad), ExitCode::cannot_create, {"/dev/full", "not a regular file"});
}

TEST_F(ImportIdx, LeavesNothingOnAFullDisk) {
  for (const std::uint64_t room : {0U, 300U, 2000U, 3000U}) {
    const Error error = [&] {
      const lockstep::testing::FileSizeLimit limit(room);
      return import_error();
    }();
    expect_error(error, ExitCode::io_error, {"cannot write", output.string(), "File too large"});
  }
}

}  // namespace
}  // namespace lockstep::data
