#pragma once

#include <cstdint>

namespace lockstep::comm::testing {

/// Calls of operator new in this process so far. C libraries, MPI among them, use malloc and are not counted.
std::int64_t allocation_count();

}  // namespace lockstep::comm::testing
