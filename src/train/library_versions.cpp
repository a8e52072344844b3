#include "train/library_versions.h"

#include <fmt/core.h>
#include <spdlog/version.h>
#include <CLI/Version.hpp>

#include <nlohmann/json.hpp>
#include <string_view>

#include "comm/nccl_version.h"
#include "comm/session.h"
#include "device/accelerator.h"
#include "device/backend.h"
#include "io/versions.h"
#include "train/build_info.h"

namespace lockstep::train {
namespace {

/// "3.11.2" of major · 10000 + minor · 100 + patch.
std::string dotted(unsigned number) {
  return fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
}

}  // namespace

std::vector<LibraryVersion> library_versions() {
  // "Open MPI 4.1.4": the name is part of the answer, as it may be another.
  const std::string_view mpi = comm::mpi_version();
  const std::size_t blank = mpi.rfind(' ');
  std::vector<LibraryVersion> versions{
      {std::string(mpi.substr(0, blank)), std::string(mpi.substr(blank + 1))},
      {"oneDNN", device::onednn_version()},
      {"HDF5", io::hdf5_library_version()},
      {"yaml-cpp", build_info().yaml_cpp},
      {"fmt", dotted(FMT_VERSION)},
      {"spdlog", dotted(SPDLOG_VERSION)},
      {"CLI11", CLI11_VERSION},
      {"nlohmann_json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                    NLOHMANN_JSON_VERSION_PATCH)},
      {"zlib", io::zlib_library_version()},
      {"xxHash", io::xxhash_library_version()},
  };
  for (const auto& [name, version] : device::accelerator_libraries()) versions.push_back({name, version});
  if (const std::string nccl = comm::nccl_version(); !nccl.empty()) versions.push_back({"NCCL", nccl});
  return versions;
}

}  // namespace lockstep::train
