#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "tensor/parameters.h"

namespace lockstep::checkpoint {

/// Sums over the samples of one shard.
struct ShardTotals {
  double loss = 0;
  std::int64_t correct = 0;
  std::int64_t samples = 0;
  friend bool operator==(const ShardTotals&, const ShardTotals&) = default;
};

/// One number of optimizer state for each weight.
struct NamedSlab {
  std::string name;  ///< "velocity"; "moment1", "moment2"
  AlignedBuffer<float> values;
};

/// Everything that a training needs to go on as if it had never stopped. It knows nothing of ranks, threads
/// or hosts: any number of them may go on from it.
struct Snapshot {
  std::string experiment;        ///< resolved YAML
  std::string data;              ///< what tells the data from others: train::fingerprint
  std::string arithmetic;        ///< what it was computed with: instruction set, library, build
  std::int64_t epoch = 1;        ///< in hand, from 1
  std::int64_t step = 0;         ///< done of that epoch
  std::int64_t global_step = 0;  ///< done in all
  double seconds = 0;            ///< of training so far
  std::optional<double> last_loss;
  /// Of the epoch that ended exactly here; none in the middle of one, or without a validation set.
  std::optional<double> val_accuracy;
  std::vector<ShardTotals> totals;   ///< of the epoch in hand, one for each shard
  std::uint64_t sample_digest = 0;   ///< of the samples of the epoch in hand
  std::uint64_t weights_digest = 0;  ///< as the run's digest stream has it
  std::uint64_t optimizer_digest = 0;
  /// Of the average, if there is one: of how many weights, and its hash.
  std::optional<std::int64_t> average_count;
  std::optional<std::uint64_t> average_digest;
  AlignedBuffer<float> weights;      ///< a slab, its gaps zeros
  AlignedBuffer<float> average;      ///< another, with average_count
  std::vector<NamedSlab> optimizer;  ///< slabs too
};

/// Writes an HDF5 file, described in src/checkpoint/README.md, that is there whole or not at all: beside its
/// final name, fsync, rename, fsync of the folder. The gaps of the slabs are not stored.
///
/// Error(cannot_create or io_error) names the file, leaves no partial one and an older one as it was. Takes
/// memory of about twice the file's size (io::hdf5::NewFile).
void write_snapshot(const std::string& path, const Parameters& parameters, const Snapshot& snapshot);

/// Reads and checks all of it; the optimizer's slabs in the order of their names. Error(no_input) when the
/// file cannot be opened; Error(bad_data) when it is cut off, damaged, of another version or of another
/// model.
Snapshot read_snapshot(const std::string& path, const Parameters& parameters);

/// Everything but weights and optimizer, which are left empty: what can be read before there is a model.
/// Their values are not looked at. Errors as of read_snapshot.
Snapshot read_snapshot_header(const std::string& path);

/// Reads the whole file and checks every checksum, knowing no model. Errors as of read_snapshot.
void verify_snapshot(const std::string& path);

}  // namespace lockstep::checkpoint
