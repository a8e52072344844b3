#pragma once

#include <string>

namespace lockstep::testing {

/// Bytes as the program gzip packs them.
std::string gzip(const std::string& bytes);

}  // namespace lockstep::testing
