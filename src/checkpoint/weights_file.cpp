#include "checkpoint/weights_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "io/hash.h"
#include "io/hdf5.h"
#include "io/hdf5_array.h"
#include "io/hdf5_attributes.h"

namespace lockstep::checkpoint {
namespace {

namespace hdf5 = io::hdf5;

// Names in the file: src/checkpoint/README.md.
constexpr std::string_view format_name = "lockstep weights";
constexpr std::int64_t format_version = 1;
const std::string group = "/weights";

std::string path_in_file(const Parameter& parameter) {
  return group + "/" + parameter.name;
}

void check_slab(const Parameters& parameters, std::size_t size) {
  check(static_cast<std::int64_t>(size) == parameters.slab_size(), "weights are a whole slab");
}

/// The shape as the file stores it: HDF5 counts rows, so even a single number is one.
Range rows_of(const Parameter& parameter) {
  return {0, parameter.shape.rank() == 0 ? 1 : parameter.shape[0]};
}

void write_tensor(const hdf5::NewFile& file, const Parameter& parameter, std::span<const float> values) {
  check(parameter.name.find('/') == std::string::npos, "names of parameters hold no '/'");
  const auto dataset = hdf5::create_array(file, path_in_file(parameter), DType::f32, parameter.shape);
  hdf5::write_rows(file, dataset, DType::f32, parameter.shape, rows_of(parameter), values.data());
  hdf5::write_attribute(file, dataset.get(), "checksum", io::hash_text(std::as_bytes(values)));
}

WeightsInfo read_info(const hdf5::File& file, const std::string& path) {
  const auto format = hdf5::read_text(file.get(), "format");
  if (format != format_name)
    fail(ExitCode::bad_data, "{}: not a file of Lockstep weights: its attribute 'format' is not '{}'", path,
         format_name);
  const auto version = hdf5::read_integer(file.get(), "version");
  if (version != format_version)
    fail(ExitCode::bad_data, "{}: version {} of the format, but this Lockstep reads version {} only", path,
         version ? fmt::format("{}", *version) : "?", format_version);
  const auto experiment = hdf5::read_text(file.get(), "experiment");
  const auto epoch = hdf5::read_integer(file.get(), "epoch");
  const auto step = hdf5::read_integer(file.get(), "step");
  if (!experiment || !epoch || !step)
    fail(ExitCode::bad_data, "{}: the attributes experiment, epoch and step must all be there", path);
  return {.experiment = *experiment, .epoch = *epoch, .step = *step};
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// Tensors that only the file or only the model has, all of them in one message.
void check_names(const hdf5::File& file, const std::string& path, const Parameters& parameters) {
  const std::vector<std::string> stored = hdf5::dataset_names(file);
  std::vector<std::string> missing, unknown;
  for (const Parameter& parameter : parameters.all())
    if (std::ranges::find(stored, path_in_file(parameter)) == stored.end()) missing.push_back(parameter.name);
  const std::string prefix = group + "/";
  for (const std::string& name : stored) {
    if (!name.starts_with(prefix)) continue;
    const std::string tensor = name.substr(prefix.size());
    if (std::ranges::none_of(parameters.all(), [&](const Parameter& known) { return known.name == tensor; }))
      unknown.push_back(tensor);
  }
  if (missing.empty() && unknown.empty()) return;
  std::string message = fmt::format("{}: the weights do not fit the model:", path);
  if (!missing.empty()) message += fmt::format(" the file lacks {}", listed(missing));
  if (!unknown.empty())
    message += fmt::format("{} the model lacks {}", missing.empty() ? "" : ";", listed(unknown));
  fail(ExitCode::bad_data, "{}", message);
}

void read_tensor(const hdf5::File& file, const std::string& path, const Parameter& parameter,
                 std::span<float> values) {
  const hdf5::Array array(file, path, path_in_file(parameter));
  if (array.type() != DType::f32)
    fail(ExitCode::bad_data, "{}: weights are stored as {}, not as f32", array.where(),
         name_of(array.type()));
  if (array.shape() != parameter.shape)
    fail(ExitCode::bad_data, "{}: its shape is {}, the model's is {}", array.where(), array.shape().text(),
         parameter.shape.text());
  array.read(rows_of(parameter), DType::f32, values.data());
  const auto checksum = hdf5::read_text(array.id(), "checksum");
  if (!checksum) fail(ExitCode::bad_data, "{}: its attribute 'checksum' is missing", array.where());
  const std::string found = io::hash_text(std::as_bytes(values));
  if (found != *checksum)
    fail(ExitCode::bad_data, "{}: the file is damaged: the checksum of the values is {}, stored is {}",
         array.where(), found, *checksum);
}

}  // namespace

void write_weights(const std::string& path, const Parameters& parameters, std::span<const float> weights,
                   const WeightsInfo& info) {
  check_slab(parameters, weights.size());
  hdf5::NewFile file(path);
  hdf5::write_attribute(file, file.id(), "format", format_name);
  hdf5::write_attribute(file, file.id(), "version", format_version);
  hdf5::write_attribute(file, file.id(), "experiment", info.experiment);
  hdf5::write_attribute(file, file.id(), "epoch", info.epoch);
  hdf5::write_attribute(file, file.id(), "step", info.step);
  file.create_group(group);
  for (const Parameter& parameter : parameters.all())
    write_tensor(file, parameter,
                 weights.subspan(static_cast<std::size_t>(parameter.offset),
                                 static_cast<std::size_t>(parameter.count)));
  file.commit();
}

WeightsInfo read_weights(const std::string& path, const Parameters& parameters, std::span<float> weights) {
  check_slab(parameters, weights.size());
  const hdf5::File file = hdf5::open_file(path);
  WeightsInfo info = read_info(file, path);
  check_names(file, path, parameters);
  std::ranges::fill(weights, 0.0F);
  for (const Parameter& parameter : parameters.all())
    read_tensor(file, path, parameter,
                weights.subspan(static_cast<std::size_t>(parameter.offset),
                                static_cast<std::size_t>(parameter.count)));
  return info;
}

}  // namespace lockstep::checkpoint
