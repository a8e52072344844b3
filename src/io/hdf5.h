#pragma once

#include <hdf5.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_handle.h"
#include "io/atomic_file.h"

/// HDF5 files with owned handles, and errors as one message for a person.
///
/// Threads: one thread of a process at a time, after MPI is initialised.
namespace lockstep::io::hdf5 {

void report_failed_close() noexcept;

template <herr_t (*Close)(hid_t)>
struct IdTraits {
  using Type = hid_t;
  static constexpr Type null() noexcept { return H5I_INVALID_HID; }
  static void close(Type id) noexcept {
    if (Close(id) < 0) report_failed_close();
  }
};
using File = UniqueHandle<IdTraits<H5Fclose>>;
using Group = UniqueHandle<IdTraits<H5Gclose>>;
using Object = UniqueHandle<IdTraits<H5Oclose>>;  ///< of any kind
using Dataset = UniqueHandle<IdTraits<H5Dclose>>;
using Dataspace = UniqueHandle<IdTraits<H5Sclose>>;
using Datatype = UniqueHandle<IdTraits<H5Tclose>>;
using Attribute = UniqueHandle<IdTraits<H5Aclose>>;
using PropertyList = UniqueHandle<IdTraits<H5Pclose>>;

/// Stops the library from printing its own errors and from closing files at exit (see NewFile). Called by
/// everything that opens a file; call it before any use of the library beside this folder.
void prepare_library();

/// The library's innermost message about the call that just failed on this thread, or what the operating
/// system said in it ("No space left on device").
std::string reason();

/// Opens a file for reading. Error(no_input) when it is missing, a folder, not permitted or locked,
/// Error(bad_data) when it is empty, cut off or not HDF5; each names the file and says what to do. `remedy`,
/// if any, ends the message where there is no such file or not one of HDF5: how to get one.
File open_file(const std::filesystem::path& path, std::string_view remedy = {});

/// A new HDF5 file that appears under its name whole or not at all (see AtomicFile, whose errors are these).
///
/// The library crashes when it closes a file that it could not write (1.10 on a full disk). So a sealed file
/// is made in memory, which takes twice its size while it is committed, and the library never meets the disk:
/// programs may write such files all day and fail. Any other, whose size has no limit, is written as it
/// comes, and if it is not committed it is never closed: its contents are cut off and removed, and its handle
/// is left behind, as is its memory. Such programs end with their first failure.
class NewFile {
 public:
  enum class Sealed : bool { no, yes };

  /// A sealed file carries a checksum of itself (io/hdf5_seal.h).
  explicit NewFile(std::filesystem::path path, Sealed sealed = Sealed::no);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  [[nodiscard]] hid_t id() const { return file_.get(); }
  [[nodiscard]] const std::filesystem::path& path() const { return atomic_.path(); }
  /// Makes a group, "/train", whose parent exists.
  void create_group(const std::string& name) const;
  /// Writes, closes, syncs and renames. Handles within the file must be closed before.
  void commit();
  /// Throws Error(io_error) naming the file and reason(), for a library call that could not write.
  [[noreturn]] void fail_to_write() const;

 private:
  [[nodiscard]] std::vector<std::byte> image() const;

  AtomicFile atomic_;
  Sealed sealed_;
  File file_;
};

/// Names ("/train/images") of all data sets of a file, in alphabetical order of each group. Links to other
/// files are left out.
std::vector<std::string> dataset_names(const File& file);

}  // namespace lockstep::io::hdf5
