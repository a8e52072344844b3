#pragma once

#include <string>

/// Versions of the libraries that this folder wraps, as loaded at run time.
namespace lockstep::io {

std::string hdf5_library_version();
std::string zlib_library_version();
std::string xxhash_library_version();

}  // namespace lockstep::io
