#pragma once

#include <string>

namespace lockstep::cli {

/// What `lockstep --version` prints: Lockstep's version and revision, how it was built, and every library's
/// version.
std::string version_text();

}  // namespace lockstep::cli
