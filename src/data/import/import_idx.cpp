#include "data/import/import_idx.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/partition.h"
#include "data/import/idx_file.h"
#include "data/manifest.h"
#include "io/hash.h"
#include "io/hdf5_array.h"
#include "io/hdf5_attributes.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;
namespace hdf5 = io::hdf5;

constexpr std::string_view format_name = "lockstep images and labels";
constexpr std::int64_t format_version = 1;
constexpr std::string_view importer = "lockstep " LOCKSTEP_VERSION;

/// One line of the attribute `sources`. Only the name of a file, not its folder: where somebody kept it must
/// not change the bytes of the output.
std::string source_line(const std::string& dataset, const fs::path& path, std::int64_t bytes,
                        const std::string& hash) {
  return fmt::format("{} {} {} {}\n", dataset, path.filename().string(), bytes, hash);
}

std::string line_of_file(const std::string& dataset, const fs::path& path) {
  const std::string hash = io::hash_file(path);
  return source_line(dataset, path, static_cast<std::int64_t>(fs::file_size(path)), hash);
}

/// The attribute `sources` that an import would write.
std::string expected_sources(const ImportRequest& request) {
  std::string text = line_of_file("/train/images", request.train.images);
  text += line_of_file("/train/labels", request.train.labels);
  if (request.test) {
    text += line_of_file("/test/images", request.test->images);
    text += line_of_file("/test/labels", request.test->labels);
  }
  return text;
}

/// Whether the output exists and was made from these files. Error when it exists and was not.
bool holds_already(const ImportRequest& request) {
  std::error_code ignored;
  const auto type = fs::status(request.output, ignored).type();
  if (request.force || type != fs::file_type::regular)
    return false;  // what else exists is for AtomicFile to refuse
  const std::string sources = expected_sources(request);
  std::string why = "was made from other files";
  try {
    const hdf5::File file = hdf5::open_file(request.output);
    if (hdf5::read_text(file.get(), "sources") == sources &&
        hdf5::read_integer(file.get(), "format_version") == format_version)
      return true;
  } catch (const Error&) {
    why = "is not a readable HDF5 file";
  }
  fail(ExitCode::cannot_create, "'{}' exists and {}; give --force to replace it", request.output.string(),
       why);
}

/// The shape in the output: images get a channel axis.
Shape image_shape(const IdxFile& images) {
  const Shape& shape = images.shape();
  if (shape.rank() < 2 || shape.rank() > 4)
    fail(ExitCode::bad_data, "'{}' holds no images: its shape is {}, not samples × height × width",
         images.path().string(), shape.text());
  if (shape.count() == 0)
    fail(ExitCode::bad_data, "'{}' has no samples or no pixels: its shape is {}", images.path().string(),
         shape.text());
  return shape.rank() == 3 ? Shape{shape[0], 1, shape[1], shape[2]} : shape;
}

void check_labels(const IdxFile& labels, const IdxFile& images) {
  const std::string name = labels.path().string();
  if (labels.shape().rank() != 1)
    fail(ExitCode::bad_data, "'{}' holds no labels: its shape is {}, not samples", name,
         labels.shape().text());
  if (labels.type() == DType::f32 || labels.type() == DType::f64)
    fail(ExitCode::bad_data, "'{}' holds no labels: they are {}, not integers", name, name_of(labels.type()));
  if (labels.shape()[0] != images.shape()[0])
    fail(ExitCode::bad_data, "'{}' has {} labels for the {} images of '{}'", name, labels.shape()[0],
         images.shape()[0], images.path().string());
}

/// Largest label; Error when one is negative.
std::int64_t largest_label(const IdxFile& labels, std::int64_t first_row, std::span<const std::byte> bytes) {
  return with_type(labels.type(), [&]<class T>(T) {
    const std::span values(reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T));
    std::int64_t largest = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto label = static_cast<std::int64_t>(values[i]);
      if (label < 0)
        fail(ExitCode::bad_data, "'{}': the label of row {} is {}; classes are numbered from 0",
             labels.path().string(), first_row + static_cast<std::int64_t>(i), label);
      largest = std::max(largest, label);
    }
    return largest;
  });
}

/// Copies an IDX file into a new data set, piece by piece, calling check(first row, bytes) for each; writes
/// the checksum and returns the line for `sources`.
template <class Check>
std::string copy(IdxFile& source, const hdf5::NewFile& file, const std::string& name, const Shape& shape,
                 Check&& check) {
  constexpr std::int64_t piece_bytes = std::int64_t{8} << 20U;
  const std::int64_t rows = shape[0];
  const std::int64_t row_bytes = shape.count() / rows * static_cast<std::int64_t>(size_of(source.type()));
  const std::int64_t rows_at_once = std::min(rows, std::max<std::int64_t>(1, piece_bytes / row_bytes));

  const hdf5::Dataset dataset = hdf5::create_array(file, name, source.type(), shape);
  std::vector<std::byte> buffer(static_cast<std::size_t>(rows_at_once * row_bytes));
  io::Hasher hasher;
  for (std::int64_t first = 0; first < rows; first += rows_at_once) {
    const Range range{first, std::min(first + rows_at_once, rows)};
    const std::span bytes = std::span(buffer).first(static_cast<std::size_t>(range.size() * row_bytes));
    source.read(bytes);
    check(first, bytes);
    hasher.update(bytes);
    hdf5::write_rows(file, dataset, source.type(), shape, range, bytes.data());
  }
  source.finish();
  hdf5::write_attribute(file, dataset.get(), checksum_attribute, hasher.text());
  return source_line(name, source.path(), source.stored_bytes(), source.stored_hash());
}

/// A pair of files, open and checked against each other.
struct OpenPair {
  std::string group;
  IdxFile images;
  IdxFile labels;
  Shape shape;

  OpenPair(std::string group_name, const IdxPair& pair)
      : group(std::move(group_name)), images(pair.images), labels(pair.labels), shape(image_shape(images)) {
    check_labels(labels, images);
  }
};

ImportReport::Split import_pair(OpenPair& pair, hdf5::NewFile& file, std::string& sources) {
  ImportReport::Split report{pair.shape, pair.images.type(), 0};
  file.create_group(pair.group);
  sources += copy(pair.images, file, pair.group + "/images", pair.shape,
                  [](std::int64_t, std::span<const std::byte>) {});
  sources += copy(pair.labels, file, pair.group + "/labels", pair.labels.shape(),
                  [&](std::int64_t first, std::span<const std::byte> bytes) {
                    report.classes = std::max(report.classes, largest_label(pair.labels, first, bytes) + 1);
                  });
  return report;
}

}  // namespace

ImportReport import_idx(const ImportRequest& request) {
  ImportReport report;
  if (holds_already(request)) {
    report.outcome = ImportReport::Outcome::unchanged;
    return report;
  }
  // All inputs are opened before anything is written.
  OpenPair train("/train", request.train);
  std::optional<OpenPair> test;
  if (request.test) test.emplace("/test", *request.test);

  hdf5::NewFile file(request.output);
  std::string sources;
  report.splits.push_back(import_pair(train, file, sources));
  if (test) report.splits.push_back(import_pair(*test, file, sources));
  hdf5::write_attribute(file, file.id(), "format", format_name);
  hdf5::write_attribute(file, file.id(), "format_version", format_version);
  hdf5::write_attribute(file, file.id(), "importer", importer);
  hdf5::write_attribute(file, file.id(), "sources", sources);
  file.commit();
  return report;
}

}  // namespace lockstep::data
