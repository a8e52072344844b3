#include "io/hdf5.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <span>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "io/gzip_file.h"
#include "io/hdf5_seal.h"

namespace lockstep::io::hdf5 {
namespace {

namespace fs = std::filesystem;

herr_t keep_innermost(unsigned depth, const H5E_error2_t* error, void* data) {
  if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(data) = error->desc;
  return 0;
}

/// The library's innermost message about the call that just failed.
std::string innermost() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &text);
  std::ranges::replace(text, '\n', ' ');
  return text.empty() ? "the library gives no reason" : text;
}

/// What the operating system said, if it is part of the library's message.
std::string shortened(const std::string& message) {
  constexpr std::string_view marker = "error message = '";
  const std::size_t found = message.find(marker);
  if (found == std::string::npos) return message;
  const std::size_t first = found + marker.size();
  return message.substr(first, message.find('\'', first) - first);
}

/// As the end of a message.
std::string ending(std::string_view remedy) {
  return remedy.empty() ? "" : fmt::format("; {}", remedy);
}

/// Reports why H5Fopen refused a file that can be opened and is not empty.
[[noreturn]] void fail_to_open(const fs::path& path, const std::string& message) {
  const auto says = [&](std::string_view part) { return message.find(part) != std::string::npos; };
  const std::string name = path.string();
  if (says("unable to lock file") && says(std::strerror(EAGAIN)))
    fail(ExitCode::no_input,
         "cannot read '{}': another program has it open for writing; try again when it is done", name);
  if (says("unable to lock file"))
    fail(ExitCode::no_input,
         "cannot read '{}': its file system cannot lock files ({}); set HDF5_USE_FILE_LOCKING=FALSE in the "
         "environment of all ranks",
         name, shortened(message));
  if (says("truncated"))
    fail(ExitCode::bad_data, "'{}' is cut off ({}); copy or make it again", name, message);
  fail(ExitCode::bad_data, "'{}' is a damaged HDF5 file ({}); copy or make it again", name,
       shortened(message));
}

/// Access without the library's buffer for numbers: a read then takes from the disk what was asked for and
/// not what lies between, and a write that fails does so in the call that writes, not when a data set is
/// closed.
PropertyList unbuffered() {
  PropertyList access(H5Pcreate(H5P_FILE_ACCESS));
  check(access && H5Pset_sieve_buf_size(access.get(), 0) >= 0, "HDF5 can do without a buffer");
  return access;
}

/// Access to a file that is in memory only.
PropertyList in_memory() {
  constexpr std::size_t growth = std::size_t{1} << 20U;
  PropertyList access(H5Pcreate(H5P_FILE_ACCESS));
  check(access && H5Pset_fapl_core(access.get(), growth, 0) >= 0, "HDF5 can keep a file in memory");
  return access;
}

void collect(hid_t group, const std::string& prefix, int depth, std::vector<std::string>& names) {
  constexpr int deepest = 16;  // hard links may form a cycle
  H5G_info_t info;
  if (depth > deepest || H5Gget_info(group, &info) < 0) return;
  for (hsize_t index = 0; index < info.nlinks; ++index) {
    const auto length =
        H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, index, nullptr, 0, H5P_DEFAULT);
    if (length < 0) continue;
    std::string name(static_cast<std::size_t>(length), '\0');
    H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, index, name.data(), name.size() + 1,
                       H5P_DEFAULT);
    H5L_info_t link;
    if (H5Lget_info(group, name.c_str(), &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) continue;
    const Object object(H5Oopen(group, name.c_str(), H5P_DEFAULT));
    if (!object) continue;
    std::string path = prefix;
    path.append("/").append(name);
    const H5I_type_t kind = H5Iget_type(object.get());
    if (kind == H5I_DATASET) names.push_back(path);
    if (kind == H5I_GROUP) collect(object.get(), path, depth + 1, names);
  }
}

}  // namespace

void report_failed_close() noexcept {
  // While an error is on its way to the user, a close that fails is its consequence.
  if (std::uncaught_exceptions() == 0) log::warning("HDF5: closing a handle failed: {}", reason());
}

void prepare_library() {
  static const bool once = [] {
    H5dont_atexit();
    return true;
  }();
  static_cast<void>(once);
  // The setting belongs to the thread in builds of the library that are safe for threads.
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

std::string reason() {
  return shortened(innermost());
}

File open_file(const fs::path& path, std::string_view remedy) {
  prepare_library();
  open_input(path, ending(remedy));  // for its errors: the library's say less
  if (fs::file_size(path) == 0) fail(ExitCode::bad_data, "'{}' is empty{}", path.string(), ending(remedy));
  const PropertyList access = unbuffered();
  File file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()));
  if (file) return file;
  const std::string message = innermost();
  if (H5Fis_hdf5(path.c_str()) == 0)
    fail(ExitCode::bad_data, "'{}' is not an HDF5 file{}", path.string(), ending(remedy));
  fail_to_open(path, message);
}

NewFile::NewFile(fs::path path, Sealed sealed) : atomic_(std::move(path)), sealed_(sealed) {
  prepare_library();
  // Without times, the same contents give the same bytes.
  const PropertyList creation(H5Pcreate(H5P_FILE_CREATE));
  check(creation && H5Pset_obj_track_times(creation.get(), 0) >= 0, "HDF5 can leave out times");
  if (sealed_ == Sealed::yes)
    check(H5Pset_userblock(creation.get(), seal_bytes) >= 0, "HDF5 can leave room for a seal");
  const PropertyList access = sealed_ == Sealed::yes ? in_memory() : unbuffered();
  file_.reset(H5Fcreate(atomic_.partial_path().c_str(), H5F_ACC_TRUNC, creation.get(), access.get()));
  if (!file_) fail_to_write();
}

NewFile::~NewFile() {
  atomic_.discard();
  if (sealed_ == Sealed::no) static_cast<void>(file_.release());  // the library may crash when it closes it
}

void NewFile::create_group(const std::string& name) const {
  const PropertyList creation(H5Pcreate(H5P_GROUP_CREATE));
  check(creation && H5Pset_obj_track_times(creation.get(), 0) >= 0, "HDF5 can leave out times");
  const Group group(H5Gcreate2(id(), name.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT));
  if (!group) fail_to_write();
}

void NewFile::commit() {
  check(static_cast<bool>(file_), "an HDF5 file is committed once");
  check(H5Fget_obj_count(id(), H5F_OBJ_ALL | H5F_OBJ_LOCAL) == 1,
        "the handles of an HDF5 file are closed first");
  if (H5Fflush(id(), H5F_SCOPE_LOCAL) < 0) fail_to_write();
  const std::vector<std::byte> contents = sealed_ == Sealed::yes ? image() : std::vector<std::byte>();
  if (H5Fclose(file_.release()) < 0) fail_to_write();
  if (sealed_ == Sealed::yes) {
    const Seal seal = seal_of(contents);
    atomic_.write(std::as_bytes(std::span(seal)));
    atomic_.write(contents);
  }
  atomic_.commit();
}

/// What is behind the user block.
std::vector<std::byte> NewFile::image() const {
  const ssize_t size = H5Fget_file_image(id(), nullptr, 0);
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  if (size <= 0 || H5Fget_file_image(id(), bytes.data(), bytes.size()) != size) fail_to_write();
  check(bytes.front() == std::byte{0x89}, "the image of an HDF5 file begins behind its user block");
  return bytes;
}

void NewFile::fail_to_write() const {
  fail(ExitCode::io_error, "cannot write '{}': {}", path().string(), reason());
}

std::vector<std::string> dataset_names(const File& file) {
  std::vector<std::string> names;
  const Group root(H5Gopen2(file.get(), "/", H5P_DEFAULT));
  if (root) collect(root.get(), "", 0, names);
  return names;
}

}  // namespace lockstep::io::hdf5
