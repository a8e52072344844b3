#include "checkpoint/snapshot.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "checkpoint/checked_file.h"
#include "checkpoint/snapshot_facts.h"
#include "io/hdf5_attributes.h"

namespace lockstep::checkpoint {
namespace {

namespace hdf5 = io::hdf5;

// Names in the file: src/checkpoint/README.md.
const std::string experiment_name = "/experiment";
const std::string totals_group = "/totals";
const std::string weights_group = "/weights";
const std::string average_group = "/average";
const std::string optimizer_group = "/optimizer";

std::string group_of_state(const std::string& name) {
  return optimizer_group + "/" + name;
}

void write_experiment(const hdf5::NewFile& file, const std::string& text, Contents& contents) {
  const Shape shape{static_cast<std::int64_t>(text.size())};
  contents[experiment_name] = write_array(file, experiment_name, DType::u8, shape, text.data());
}

template <class T>
void write_column(const hdf5::NewFile& file, const std::string& name, DType type,
                  const std::vector<ShardTotals>& totals, T ShardTotals::* member, Contents& contents) {
  std::vector<T> column(totals.size());
  std::ranges::transform(totals, column.begin(), member);
  const Shape shape{static_cast<std::int64_t>(column.size())};
  contents[name] = write_array(file, name, type, shape, column.data());
}

void write_totals(const hdf5::NewFile& file, const std::vector<ShardTotals>& totals, Contents& contents) {
  file.create_group(totals_group);
  write_column(file, totals_group + "/loss", DType::f64, totals, &ShardTotals::loss, contents);
  write_column(file, totals_group + "/correct", DType::i64, totals, &ShardTotals::correct, contents);
  write_column(file, totals_group + "/samples", DType::i64, totals, &ShardTotals::samples, contents);
}

void write_optimizer(const hdf5::NewFile& file, const Parameters& parameters,
                     const std::vector<NamedSlab>& states, Contents& contents) {
  file.create_group(optimizer_group);
  for (const NamedSlab& state : states) {
    check(!state.name.empty() && state.name.find('/') == std::string::npos,
          "names of optimizer state hold no '/'");
    const std::string group = group_of_state(state.name);
    file.create_group(group);
    contents.merge(write_tensors(file, group, parameters, state.values.span()));
  }
}

/// All values of a data set of one axis, as a std::string or std::vector.
template <class Values>
Values read_column(const hdf5::File& file, const std::string& path, const std::string& name, DType type) {
  const hdf5::Array array(file, path, name);
  if (array.shape().rank() != 1)
    fail(ExitCode::bad_data, "{}: its shape is {}, not one row of values", array.where(),
         array.shape().text());
  Values values(static_cast<std::size_t>(array.rows()), typename Values::value_type{});
  read_array(array, type, values.data());
  return values;
}

std::vector<ShardTotals> read_totals(const hdf5::File& file, const std::string& path) {
  using Counts = std::vector<std::int64_t>;
  const auto loss = read_column<std::vector<double>>(file, path, totals_group + "/loss", DType::f64);
  const auto correct = read_column<Counts>(file, path, totals_group + "/correct", DType::i64);
  const auto samples = read_column<Counts>(file, path, totals_group + "/samples", DType::i64);
  if (correct.size() != loss.size() || samples.size() != loss.size())
    fail(ExitCode::bad_data, "{}: the data sets of {} are for {}, {} and {} shards", path, totals_group,
         loss.size(), correct.size(), samples.size());
  std::vector<ShardTotals> totals;
  for (std::size_t shard = 0; shard < loss.size(); ++shard)
    totals.push_back({loss[shard], correct[shard], samples[shard]});
  return totals;
}

/// Attributes, experiment and totals. The checksum of the root fits attributes and stored checksums then, so
/// nothing was changed, added or taken away but values, which their own checksums protect.
Snapshot read_header(const hdf5::File& file, const std::string& path) {
  Snapshot snapshot;
  Contents contents;
  read_facts(file, path, snapshot, contents);
  for (const std::string& name : hdf5::dataset_names(file))
    contents[name] = stored_checksum(hdf5::Array(file, path, name));
  const auto stored = hdf5::read_text(file.get(), "checksum");
  if (!stored) fail(ExitCode::bad_data, "{}: its attribute 'checksum' is missing", path);
  const std::string found = checksum_of(contents);
  if (found != *stored)
    fail(ExitCode::bad_data,
         "{}: the file is damaged: the checksum of its attributes and list of data sets is {}, stored is {}",
         path, found, *stored);
  snapshot.experiment = read_column<std::string>(file, path, experiment_name, DType::u8);
  snapshot.totals = read_totals(file, path);
  return snapshot;
}

/// The names of the optimizer's slabs, sorted.
std::set<std::string> optimizer_states(const hdf5::File& file) {
  const std::string prefix = optimizer_group + "/";
  std::set<std::string> names;
  for (const std::string& name : hdf5::dataset_names(file))
    if (name.starts_with(prefix)) {
      const std::string state = name.substr(prefix.size());
      names.insert(state.substr(0, state.find('/')));
    }
  return names;
}

AlignedBuffer<float> read_slab(const hdf5::File& file, const std::string& path, const std::string& group,
                               const Parameters& parameters) {
  AlignedBuffer<float> slab(static_cast<std::size_t>(parameters.slab_size()));
  read_tensors(file, path, group, parameters, slab.span());
  return slab;
}

}  // namespace

void write_snapshot(const std::string& path, const Parameters& parameters, const Snapshot& snapshot) {
  hdf5::NewFile file(path, hdf5::NewFile::Sealed::yes);
  Contents contents;
  write_format(file, checkpoint_format);
  write_facts(file, snapshot, contents);
  write_experiment(file, snapshot.experiment, contents);
  write_totals(file, snapshot.totals, contents);
  file.create_group(weights_group);
  contents.merge(write_tensors(file, weights_group, parameters, snapshot.weights.span()));
  if (snapshot.average_count) {
    file.create_group(average_group);
    contents.merge(write_tensors(file, average_group, parameters, snapshot.average.span()));
  }
  write_optimizer(file, parameters, snapshot.optimizer, contents);
  hdf5::write_attribute(file, file.id(), "checksum", checksum_of(contents));
  file.commit();
}

Snapshot read_snapshot(const std::string& path, const Parameters& parameters) {
  const hdf5::File file = open_checked(path, checkpoint_format);
  Snapshot snapshot = read_header(file, path);
  snapshot.weights = read_slab(file, path, weights_group, parameters);
  if (snapshot.average_count) snapshot.average = read_slab(file, path, average_group, parameters);
  for (const std::string& name : optimizer_states(file))
    snapshot.optimizer.push_back({name, read_slab(file, path, group_of_state(name), parameters)});
  return snapshot;
}

Snapshot read_snapshot_header(const std::string& path) {
  return read_header(open_checked(path, checkpoint_format), path);
}

void verify_snapshot(const std::string& path) {
  const hdf5::File file = open_checked(path, checkpoint_format);
  read_header(file, path);
  for (const std::string& name : hdf5::dataset_names(file)) verify_array(hdf5::Array(file, path, name));
}

}  // namespace lockstep::checkpoint
