#pragma once

#include <string>

/// Versions of the libraries that this folder wraps, as loaded at run time.
namespace lockstep::io {

std::string hdf5_version();
std::string zlib_version();
std::string xxhash_version();

}  // namespace lockstep::io
