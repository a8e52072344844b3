#include "checkpoint/checked_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "io/hash.h"
#include "io/hdf5_attributes.h"
#include "io/hdf5_seal.h"

namespace lockstep::checkpoint {
namespace {

namespace hdf5 = io::hdf5;

std::string path_in_file(const std::string& group, const Parameter& parameter) {
  return group + "/" + parameter.name;
}

/// A tensor's rows as the file counts them: even a single number is one.
Range rows_of(const Shape& shape) {
  return {0, shape.rank() == 0 ? 1 : shape[0]};
}

template <class T>
std::span<T> values_of(const Parameter& parameter, std::span<T> slab) {
  return slab.subspan(static_cast<std::size_t>(parameter.offset), static_cast<std::size_t>(parameter.count));
}

[[noreturn]] void fail_damaged(const hdf5::Array& array, const std::string& found,
                               const std::string& stored) {
  fail(ExitCode::bad_data, "{}: the file is damaged: the checksum of the values is {}, stored is {}",
       array.where(), found, stored);
}

/// Tensors that only the file or only the model has, all of them in one message.
void check_names(const hdf5::File& file, const std::string& path, const std::string& group,
                 const Parameters& parameters) {
  const std::vector<std::string> stored = hdf5::dataset_names(file);
  std::vector<std::string> missing;
  std::vector<std::string> unknown;
  for (const Parameter& parameter : parameters.all())
    if (std::ranges::find(stored, path_in_file(group, parameter)) == stored.end())
      missing.push_back(parameter.name);
  const std::string prefix = group + "/";
  for (const std::string& name : stored) {
    if (!name.starts_with(prefix)) continue;
    const std::string tensor = name.substr(prefix.size());
    if (std::ranges::none_of(parameters.all(), [&](const Parameter& known) { return known.name == tensor; }))
      unknown.push_back(tensor);
  }
  if (missing.empty() && unknown.empty()) return;
  std::string message = fmt::format("{}: {} does not fit the model:", path, group);
  if (!missing.empty()) message += fmt::format(" the file lacks {}", fmt::join(missing, ", "));
  if (!unknown.empty())
    message += fmt::format("{} the model lacks {}", missing.empty() ? "" : ";", fmt::join(unknown, ", "));
  fail(ExitCode::bad_data, "{}", message);
}

void check_slab(const Parameters& parameters, std::size_t size) {
  check(static_cast<std::int64_t>(size) == parameters.slab_size(), "tensors lie in a whole slab");
}

}  // namespace

void write_format(const hdf5::NewFile& file, const Format& format) {
  hdf5::write_attribute(file, file.id(), "format", format.name);
  hdf5::write_attribute(file, file.id(), "version", format.version);
}

hdf5::File open_checked(const std::string& path, const Format& format) {
  hdf5::check_seal(path, format.what);
  hdf5::File file = hdf5::open_file(path);
  const auto name = hdf5::read_text(file.get(), "format");
  if (name == weights_format.name && format.name == checkpoint_format.name)
    fail(ExitCode::bad_data, "{}: not {}, but the final weights of a run, whose folder may have checkpoints",
         path, format.what);
  if (name != format.name)
    fail(ExitCode::bad_data, "{}: not {}: its attribute 'format' is not '{}'", path, format.what,
         format.name);
  const auto version = hdf5::read_integer(file.get(), "version");
  if (!version || *version < format.oldest_version || *version > format.version)
    fail(ExitCode::bad_data, "{}: version {} of the format, but this Lockstep reads {} only", path,
         version ? fmt::format("{}", *version) : "?",
         format.oldest_version == format.version
             ? fmt::format("version {}", format.version)
             : fmt::format("versions {} to {}", format.oldest_version, format.version));
  return file;
}

std::string write_array(const hdf5::NewFile& file, const std::string& name, DType type, const Shape& shape,
                        const void* values) {
  const auto dataset = hdf5::create_array(file, name, type, shape);
  hdf5::write_rows(file, dataset, type, shape, rows_of(shape), values);
  const std::size_t bytes = static_cast<std::size_t>(shape.count()) * size_of(type);
  std::string checksum = io::hash_text({static_cast<const std::byte*>(values), bytes});
  hdf5::write_attribute(file, dataset.get(), "checksum", checksum);
  return checksum;
}

std::string stored_checksum(const hdf5::Array& array) {
  const auto checksum = hdf5::read_text(array.id(), "checksum");
  if (!checksum) fail(ExitCode::bad_data, "{}: its attribute 'checksum' is missing", array.where());
  return *checksum;
}

void read_array(const hdf5::Array& array, DType as, void* values) {
  if (array.type() != as)
    fail(ExitCode::bad_data, "{}: its values are stored as {}, not as {}", array.where(),
         name_of(array.type()), name_of(as));
  array.read(rows_of(array.shape()), as, values);
  const std::size_t bytes = static_cast<std::size_t>(array.shape().count()) * size_of(as);
  const std::string found = io::hash_text({static_cast<const std::byte*>(values), bytes});
  const std::string stored = stored_checksum(array);
  if (found != stored) fail_damaged(array, found, stored);
}

void verify_array(const hdf5::Array& array) {
  const std::int64_t rows_at_once = array.block_rows(array.type());
  std::vector<std::byte> block(static_cast<std::size_t>(rows_at_once * array.row_bytes()));
  io::Hasher hasher;
  for (std::int64_t first = 0; first < array.rows(); first += rows_at_once) {
    const Range rows{first, std::min(first + rows_at_once, array.rows())};
    array.read(rows, array.type(), block.data());
    hasher.update(std::span(block).first(static_cast<std::size_t>(rows.size() * array.row_bytes())));
  }
  const std::string stored = stored_checksum(array);
  if (hasher.text() != stored) fail_damaged(array, hasher.text(), stored);
}

Checksums write_tensors(const hdf5::NewFile& file, const std::string& group, const Parameters& parameters,
                        std::span<const float> slab) {
  check_slab(parameters, slab.size());
  Checksums checksums;
  for (const Parameter& parameter : parameters.all()) {
    check(parameter.name.find('/') == std::string::npos, "names of parameters hold no '/'");
    const std::string name = path_in_file(group, parameter);
    checksums[name] = write_array(file, name, DType::f32, parameter.shape, values_of(parameter, slab).data());
  }
  return checksums;
}

void read_tensors(const hdf5::File& file, const std::string& path, const std::string& group,
                  const Parameters& parameters, std::span<float> slab) {
  check_slab(parameters, slab.size());
  check_names(file, path, group, parameters);
  std::ranges::fill(slab, 0.0F);
  for (const Parameter& parameter : parameters.all()) {
    const hdf5::Array array(file, path, path_in_file(group, parameter));
    if (array.shape() != parameter.shape)
      fail(ExitCode::bad_data, "{}: its shape is {}, the model's is {}", array.where(), array.shape().text(),
           parameter.shape.text());
    read_array(array, DType::f32, values_of(parameter, slab).data());
  }
}

}  // namespace lockstep::checkpoint
