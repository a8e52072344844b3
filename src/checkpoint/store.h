#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/snapshot.h"

namespace lockstep::checkpoint {

/// The checkpoints of a run: the files step-000000001234.h5 of one folder, RUN/checkpoints. Other files in it
/// are left alone.
///
/// Keeps nothing in memory but the folder's name. All that reads or writes a file uses HDF5: one thread of
/// the process at a time. Whoever changes the folder holds the run's lock.
class Store {
 public:
  /// The folder need not exist.
  explicit Store(std::filesystem::path folder);

  struct Entry {
    std::int64_t global_step = 0;
    std::filesystem::path path;
  };
  struct Found {
    Entry entry;
    Snapshot snapshot;
  };
  /// Gets one message for a person.
  using Report = std::function<void(const std::string&)>;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path path_of(std::int64_t global_step) const;

  /// Newest first; empty when there is no folder. Error(no_input) when it cannot be read.
  [[nodiscard]] std::vector<Entry> list() const;

  /// Makes the folder, and removes partial files that killed processes left. Call while none is being
  /// written. Error(cannot_create or io_error).
  void prepare() const;

  /// Writes the checkpoint of its step and returns its path. Errors as of write_snapshot.
  std::filesystem::path save(const Parameters& parameters, const Snapshot& snapshot) const;

  /// Deletes all but the newest `keep` (at least 1) and, with `keep_best`, the one of the highest validation
  /// accuracy (the earliest of equals). Before anything is deleted, the newest is read back; if it is
  /// damaged, the newest one that is whole is kept as well. Error(io_error) when a file cannot be deleted.
  void prune(std::int64_t keep, bool keep_best) const;

  /// Throws Error(bad_data) naming the file for a snapshot that is whole but not what it should be.
  using Check = std::function<void(const Snapshot& snapshot, const std::string& path)>;
  /// The newest that can be read, fits the model and passes the check. Each newer one is reported with what
  /// is wrong. Nothing when there is none.
  [[nodiscard]] std::optional<Found> newest_readable(const Parameters& parameters, const Check& check,
                                                     const Report& report) const;

  /// Renames the checkpoints of later steps, "<name>.unused": what goes on from this step will write its own.
  /// Error(io_error).
  void set_aside_after(std::int64_t global_step) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace lockstep::checkpoint
