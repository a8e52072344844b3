#include "checkpoint/weights_file.h"

#include "base/check.h"
#include "base/error.h"
#include "checkpoint/checked_file.h"
#include "io/hdf5_attributes.h"

namespace lockstep::checkpoint {
namespace {

namespace hdf5 = io::hdf5;

// Names in the file: src/checkpoint/README.md.
constexpr const char* group = "/weights";

WeightsInfo read_info(const hdf5::File& file, const std::string& path) {
  const auto experiment = hdf5::read_text(file.get(), "experiment");
  const auto epoch = hdf5::read_integer(file.get(), "epoch");
  const auto step = hdf5::read_integer(file.get(), "step");
  if (!experiment || !epoch || !step)
    fail(ExitCode::bad_data, "{}: the attributes experiment, epoch and step must all be there", path);
  return {.experiment = *experiment, .epoch = *epoch, .step = *step};
}

void check_slab(const Parameters& parameters, std::size_t size) {
  check(static_cast<std::int64_t>(size) == parameters.slab_size(), "weights are a whole slab");
}

}  // namespace

void write_weights(const std::string& path, const Parameters& parameters, std::span<const float> weights,
                   const WeightsInfo& info) {
  check_slab(parameters, weights.size());
  hdf5::NewFile file(path, hdf5::NewFile::Sealed::yes);
  write_format(file, weights_format);
  hdf5::write_attribute(file, file.id(), "experiment", info.experiment);
  hdf5::write_attribute(file, file.id(), "epoch", info.epoch);
  hdf5::write_attribute(file, file.id(), "step", info.step);
  file.create_group(group);
  write_tensors(file, group, parameters, weights);
  file.commit();
}

WeightsInfo read_weights(const std::string& path, const Parameters& parameters, std::span<float> weights) {
  check_slab(parameters, weights.size());
  const hdf5::File file = open_checked(path, weights_format);
  WeightsInfo info = read_info(file, path);
  read_tensors(file, path, group, parameters, weights);
  return info;
}

WeightsInfo read_weights_info(const std::string& path) {
  return read_info(open_checked(path, weights_format), path);
}

}  // namespace lockstep::checkpoint
