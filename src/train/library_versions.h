#pragma once

#include <string>
#include <vector>

namespace lockstep::train {

struct LibraryVersion {
  std::string name, version;
};

/// The libraries that Lockstep uses: what is loaded at run time where a library can tell, else what it was
/// built with. Works without MPI being started.
std::vector<LibraryVersion> library_versions();

}  // namespace lockstep::train
