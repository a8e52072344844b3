#include "io/versions.h"

#include <fmt/core.h>
#include <hdf5.h>
#include <xxhash.h>
#include <zlib.h>

namespace lockstep::io {

std::string hdf5_library_version() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

std::string zlib_library_version() {
  return zlibVersion();
}

std::string xxhash_library_version() {
  const unsigned version = XXH_versionNumber();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace lockstep::io
