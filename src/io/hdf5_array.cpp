#include "io/hdf5_array.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/fault.h"

namespace lockstep::io::hdf5 {
namespace {

/// The library moves larger selections in one go too; pieces keep its bookkeeping and the cost of a failure
/// low.
constexpr std::int64_t most_bytes_at_once = std::int64_t{256} << 20U;

constexpr std::array all_types = {DType::f32, DType::f64, DType::u8,  DType::i8,  DType::u16,
                                  DType::i16, DType::u32, DType::i32, DType::u64, DType::i64};

struct FileTypes {
  hid_t little, big;
};

/// The standard types of a file that hold elements of `type`.
FileTypes file_types(DType type) {
  switch (type) {
    case DType::f32:
      return {H5T_IEEE_F32LE, H5T_IEEE_F32BE};
    case DType::f64:
      return {H5T_IEEE_F64LE, H5T_IEEE_F64BE};
    case DType::u8:
      return {H5T_STD_U8LE, H5T_STD_U8BE};
    case DType::i8:
      return {H5T_STD_I8LE, H5T_STD_I8BE};
    case DType::u16:
      return {H5T_STD_U16LE, H5T_STD_U16BE};
    case DType::i16:
      return {H5T_STD_I16LE, H5T_STD_I16BE};
    case DType::u32:
      return {H5T_STD_U32LE, H5T_STD_U32BE};
    case DType::i32:
      return {H5T_STD_I32LE, H5T_STD_I32BE};
    case DType::u64:
      return {H5T_STD_U64LE, H5T_STD_U64BE};
    case DType::i64:
      break;
  }
  return {H5T_STD_I64LE, H5T_STD_I64BE};
}

std::vector<hsize_t> to_hsize(const Shape& shape) {
  return {shape.extents().begin(), shape.extents().end()};
}

std::string name_of_file(hid_t id) {
  const ssize_t length = H5Fget_name(id, nullptr, 0);
  std::string name(static_cast<std::size_t>(std::max<ssize_t>(length, 0)), '\0');
  H5Fget_name(id, name.data(), name.size() + 1);
  return name;
}

/// What is wrong when a file has no data set of a name.
std::string missing_dataset(const File& file, const std::string& name) {
  const std::vector<std::string> names = dataset_names(file);
  if (names.empty()) return fmt::format("there is no data set '{}' in it, nor any other", name);
  constexpr std::size_t most_names = 12;
  const bool more = names.size() > most_names;
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), most_names));
  return fmt::format("there is no data set '{}' in it; it has {}{}", name,
                     fmt::join(names.begin(), end, ", "), more ? ", …" : "");
}

std::string text(H5T_class_t type_class) {
  switch (type_class) {
    case H5T_INTEGER:
      return "integers of a width or bit layout that is not standard";
    case H5T_FLOAT:
      return "floats of a width or bit layout that is not standard (float16 is not supported)";
    case H5T_STRING:
      return "strings";
    case H5T_ENUM:
      return "an enumeration (h5py writes bool so)";
    case H5T_COMPOUND:
      return "compound values";
    default:
      return "values of a type that holds no plain numbers";
  }
}

/// Selects runs of whole rows in `space`.
bool select_rows(hid_t space, const Shape& shape, std::int64_t first, std::int64_t width, std::int64_t stride,
                 std::int64_t count) {
  const std::size_t rank = shape.rank();
  std::vector<hsize_t> starts(rank, 0);
  std::vector<hsize_t> strides(rank, 1);
  std::vector<hsize_t> counts(rank, 1);
  std::vector<hsize_t> blocks = to_hsize(shape);
  starts[0] = static_cast<hsize_t>(first);
  strides[0] = static_cast<hsize_t>(stride);
  counts[0] = static_cast<hsize_t>(count);
  blocks[0] = static_cast<hsize_t>(width);
  return H5Sselect_hyperslab(space, H5S_SELECT_SET, starts.data(), strides.data(), counts.data(),
                             blocks.data()) >= 0;
}

/// A space in memory for so many whole rows.
Dataspace memory_space(const Shape& shape, std::int64_t rows) {
  std::vector<hsize_t> extents = to_hsize(shape);
  extents[0] = static_cast<hsize_t>(rows);
  return Dataspace(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr));
}

}  // namespace

hid_t native_type(DType type) {
  switch (type) {
    case DType::f32:
      return H5T_NATIVE_FLOAT;
    case DType::f64:
      return H5T_NATIVE_DOUBLE;
    case DType::u8:
      return H5T_NATIVE_UINT8;
    case DType::i8:
      return H5T_NATIVE_INT8;
    case DType::u16:
      return H5T_NATIVE_UINT16;
    case DType::i16:
      return H5T_NATIVE_INT16;
    case DType::u32:
      return H5T_NATIVE_UINT32;
    case DType::i32:
      return H5T_NATIVE_INT32;
    case DType::u64:
      return H5T_NATIVE_UINT64;
    case DType::i64:
      break;
  }
  return H5T_NATIVE_INT64;
}

Array::Array(const File& file, const std::filesystem::path& path, std::string name)
    : path_(path), name_(std::move(name)), where_(path.string() + ": " + name_) {
  const Object object(H5Oopen(file.get(), name_.c_str(), H5P_DEFAULT));
  if (!object) fail(ExitCode::bad_data, "{}: {}", path.string(), missing_dataset(file, name_));
  if (H5Iget_type(object.get()) != H5I_DATASET) refuse("it is a group, not a data set");
  if (name_of_file(object.get()) != name_of_file(file.get())) refuse("it is a link to another file");
  dataset_.reset(H5Dopen2(file.get(), name_.c_str(), H5P_DEFAULT));
  if (!dataset_) refuse(reason());
  check_type();
  check_shape();
  check_storage();
}

void Array::refuse(const std::string& why) const {
  fail(ExitCode::bad_data, "{}: {}", where_, why);
}

void Array::check_type() {
  const Datatype stored(H5Dget_type(id()));
  if (!stored) refuse(reason());
  for (const DType candidate : all_types) {
    const auto [little, big] = file_types(candidate);
    if (H5Tequal(stored.get(), little) > 0 || H5Tequal(stored.get(), big) > 0) {
      type_ = candidate;
      return;
    }
  }
  refuse(fmt::format("it holds {}; store it as one of {}", text(H5Tget_class(stored.get())),
                     "float32, float64, (u)int8, (u)int16, (u)int32, (u)int64"));
}

void Array::check_shape() {
  const Dataspace space(H5Dget_space(id()));
  if (!space || H5Sget_simple_extent_type(space.get()) != H5S_SIMPLE)
    refuse("it has no rows: it is one value or none");
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  const int rank = H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  if (rank < 1) refuse("it has no rows: it is one value or none");
  // The product of all, empty axes counted as one, must fit: everything later may multiply freely.
  std::int64_t bytes = static_cast<std::int64_t>(size_of(type_));
  std::vector<std::int64_t> shape;
  for (int axis = 0; axis < rank; ++axis) {
    const auto extent = static_cast<std::int64_t>(extents.at(static_cast<std::size_t>(axis)));
    if (extent < 0 || __builtin_mul_overflow(bytes, std::max<std::int64_t>(extent, 1), &bytes))
      refuse("its shape is larger than any file; the file is damaged");
    shape.push_back(extent);
    if (axis > 0) row_elements_ *= extent;
  }
  shape_ = Shape(std::move(shape));
}

void Array::check_storage() {
  const PropertyList creation(H5Dget_create_plist(id()));
  if (!creation) refuse(reason());
  if (H5Pget_external_count(creation.get()) != 0)
    refuse("its numbers are in external files; copy it with h5repack");
  switch (H5Pget_layout(creation.get())) {
    case H5D_CONTIGUOUS:
      storage_ = "contiguous";
      return check_contiguous();
    case H5D_CHUNKED:
      return check_chunks(creation.get());
    case H5D_VIRTUAL:
      refuse("it is a virtual data set, a view of other files; copy it with 'h5repack -l CONTI'");
    default:
      refuse("its storage is compact, which is not supported; copy it with 'h5repack -l CONTI'");
  }
}

void Array::check_contiguous() const {
  const auto stored = static_cast<std::int64_t>(H5Dget_storage_size(id()));
  const std::int64_t logical = rows() * row_bytes();
  if (stored == logical) return;
  if (stored == 0) refuse("no data were ever written to it");
  refuse(fmt::format("it occupies {} bytes and its shape needs {}; the file is damaged", stored, logical));
}

void Array::check_chunks(hid_t creation) {
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  const int rank = H5Pget_chunk(creation, H5S_MAX_RANK, extents.data());
  if (rank != static_cast<int>(shape_.rank()))
    refuse("the rank of its chunks is not its own; the file is damaged");

  hsize_t expected = 1;
  std::vector<hsize_t> chunk;
  for (std::size_t axis = 0; axis < shape_.rank(); ++axis) {
    const hsize_t extent = extents.at(axis);
    if (extent == 0) refuse("it has chunks of size zero; the file is damaged");
    expected *= (static_cast<hsize_t>(shape_[axis]) + extent - 1) / extent;
    chunk.push_back(extent);
  }
  chunk_rows_ = static_cast<std::int64_t>(
      std::min<hsize_t>(chunk[0], static_cast<hsize_t>(std::max<std::int64_t>(rows(), 1))));
  storage_ = fmt::format("chunks of {}", fmt::join(chunk, "×"));

  const int filters = H5Pget_nfilters(creation);
  for (int index = 0; index < filters; ++index) {
    unsigned flags = 0;
    unsigned configuration = 0;
    std::size_t values = 0;
    std::array<char, 64> name{};
    const H5Z_filter_t filter = H5Pget_filter2(creation, static_cast<unsigned>(index), &flags, &values,
                                               nullptr, name.size(), name.data(), &configuration);
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
      refuse(
          fmt::format("it is packed by the filter '{}' ({}); only deflate, shuffle and fletcher32 are "
                      "supported: copy it with 'h5repack -f NONE'",
                      name.data(), filter));
    const char* known = filter == H5Z_FILTER_DEFLATE   ? "deflate"
                        : filter == H5Z_FILTER_SHUFFLE ? "shuffle"
                                                       : "fletcher32";
    storage_ += fmt::format(", {}", known);
  }

  const Dataspace space(H5Dget_space(id()));
  hsize_t stored = 0;
  if (H5Dget_num_chunks(id(), space.get(), &stored) < 0) refuse(reason());
  if (stored == 0 && expected > 0) refuse("no data were ever written to it");
  if (stored != expected)
    refuse(fmt::format("only {} of its {} chunks were written; the program that wrote it did not finish",
                       stored, expected));
}

std::int64_t Array::row_bytes() const {
  return row_elements_ * static_cast<std::int64_t>(size_of(type_));
}

std::int64_t Array::block_rows(DType as) const {
  constexpr std::int64_t block_bytes = std::int64_t{16} << 20U;
  const std::int64_t unit = std::max<std::int64_t>(chunk_rows_, 1);
  const std::int64_t unit_bytes = unit * row_elements_ * static_cast<std::int64_t>(size_of(as));
  const std::int64_t units = block_bytes / std::max<std::int64_t>(unit_bytes, 1);
  return std::max<std::int64_t>(1, std::min(rows(), std::max<std::int64_t>(units, 1) * unit));
}

void Array::read_selection(std::int64_t first, std::int64_t width, std::int64_t stride, std::int64_t count,
                           hid_t memory_type, void* out) const {
  const Dataspace file_space(H5Dget_space(id()));
  const Dataspace memory = memory_space(shape_, width * count);
  if (!file_space || !memory || !select_rows(file_space.get(), shape_, first, width, stride, count) ||
      H5Dread(id(), memory_type, memory.get(), file_space.get(), H5P_DEFAULT, out) < 0)
    fail(ExitCode::bad_data, "{}: cannot read its rows {} to {}: {}", where_, first,
         first + (count - 1) * stride + width - 1, reason());
}

void Array::read(Range rows, DType as, void* out) const {
  check(0 <= rows.begin && rows.begin <= rows.end && rows.end <= this->rows(),
        "rows to read lie in the array");
  const std::int64_t bytes = row_elements_ * static_cast<std::int64_t>(size_of(as));
  const std::int64_t at_once =
      std::max<std::int64_t>(1, most_bytes_at_once / std::max<std::int64_t>(bytes, 1));
  auto* position = static_cast<std::byte*>(out);
  for (std::int64_t first = rows.begin; first < rows.end; first += at_once) {
    const std::int64_t count = std::min(at_once, rows.end - first);
    read_selection(first, count, count, 1, native_type(as), position);
    position += count * bytes;
  }
}

void Array::read_runs(std::int64_t first, std::int64_t width, std::int64_t stride, std::int64_t count,
                      DType as, void* out) const {
  check(0 <= width && width <= stride, "runs of rows do not overlap");
  if (width == 0 || count == 0) return;
  if (width == stride) return read({first, first + width * count}, as, out);
  check(0 <= first && first + (count - 1) * stride + width <= rows(), "runs of rows lie in the array");
  const std::int64_t run_bytes = width * row_elements_ * static_cast<std::int64_t>(size_of(as));
  auto* position = static_cast<std::byte*>(out);
  if (run_bytes >= most_bytes_at_once) {
    for (std::int64_t run = 0; run < count; ++run, position += run_bytes)
      read({first + run * stride, first + run * stride + width}, as, position);
    return;
  }
  const std::int64_t at_once = most_bytes_at_once / std::max<std::int64_t>(run_bytes, 1);
  for (std::int64_t run = 0; run < count; run += at_once) {
    const std::int64_t runs = std::min(at_once, count - run);
    read_selection(first + run * stride, width, stride, runs, native_type(as), position);
    position += runs * run_bytes;
  }
}

void Array::read_stored(Range rows, std::span<std::byte> out) const {
  check(0 <= rows.begin && rows.begin < rows.end && rows.end <= this->rows(),
        "rows to read lie in the array");
  check(static_cast<std::int64_t>(out.size()) == rows.size() * row_bytes(),
        "stored rows fill the memory given");
  const Datatype stored(H5Dget_type(id()));
  read_selection(rows.begin, rows.size(), rows.size(), 1, stored.get(), out.data());
}

Dataset create_array(const NewFile& file, const std::string& name, DType type, const Shape& shape) {
  check(shape.rank() >= 1, "a data set has rows");
  const std::vector<hsize_t> extents = to_hsize(shape);
  const Dataspace space(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr));
  const PropertyList creation(H5Pcreate(H5P_DATASET_CREATE));
  check(space && creation && H5Pset_layout(creation.get(), H5D_CONTIGUOUS) >= 0 &&
            H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER) >= 0 &&
            H5Pset_obj_track_times(creation.get(), 0) >= 0,
        "HDF5 can describe a contiguous data set");
  Dataset dataset(H5Dcreate2(file.id(), name.c_str(), file_types(type).little, space.get(), H5P_DEFAULT,
                             creation.get(), H5P_DEFAULT));
  if (!dataset) file.fail_to_write();
  return dataset;
}

void write_rows(const NewFile& file, const Dataset& dataset, DType type, const Shape& shape, Range rows,
                const void* values) {
  if (rows.empty()) return;
  if (fault::take_io_error())
    fail(ExitCode::io_error, "cannot write '{}': {}", file.path().string(), std::strerror(ENOSPC));
  const Dataspace file_space(H5Dget_space(dataset.get()));
  const Dataspace memory = memory_space(shape, rows.size());
  if (!file_space || !memory ||
      !select_rows(file_space.get(), shape, rows.begin, rows.size(), rows.size(), 1) ||
      H5Dwrite(dataset.get(), native_type(type), memory.get(), file_space.get(), H5P_DEFAULT, values) < 0)
    file.fail_to_write();
}

}  // namespace lockstep::io::hdf5
