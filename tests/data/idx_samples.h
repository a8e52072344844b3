#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::testing {

/// An IDX file's bytes: header for a type code and extents, then the payload as given.
std::string idx(unsigned char type_code, const std::vector<std::uint32_t>& extents,
                const std::string& payload);

/// Bytes 0, 7, 14, … modulo 251.
std::string counting_bytes(std::size_t count);

/// Labels 0 to 9 again and again.
std::string counting_labels(std::size_t count);

}  // namespace lockstep::testing
