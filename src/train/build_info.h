#pragma once

#include <string>

namespace lockstep::train {

/// How this program was built. Written by CMake: build_info.cmake, build_info.cpp.in.
struct BuildInfo {
  std::string version;     ///< of Lockstep
  std::string revision;    ///< git commit, "unknown" when it was not built from a clone
  bool modified = false;   ///< the clone had uncommitted changes
  std::string compiler;    ///< "GNU 12.2.0"
  std::string flags;       ///< for C++
  std::string build_type;  ///< "Release"
  std::string yaml_cpp;    ///< its version, which its headers do not have
};

const BuildInfo& build_info();

}  // namespace lockstep::train
