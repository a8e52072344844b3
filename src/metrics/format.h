#pragma once

#include <cstdint>
#include <string>

/// Numbers as people read them. The same text in any locale.
namespace lockstep::metrics {

/// "428,330".
std::string grouped(std::int64_t value);

/// A share in [0, 1] as "98.72%"; "nan" when it is not a number.
std::string percent(double share);

/// "0.21 s", "12.3 s", "4:05", "1:02:03".
std::string duration(double seconds);

/// "512 B", "1.7 MB", "47.0 MB": powers of 1000.
std::string bytes(std::int64_t count);

/// "1 rank", "2 ranks": a grouped count and its noun.
std::string counted(std::int64_t count, const std::string& noun);

}  // namespace lockstep::metrics
