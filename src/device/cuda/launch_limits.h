#pragma once

#include <cstddef>

namespace lockstep::device::cuda {

/// The most threads of a block: few enough for each to have as many registers as an instruction can name.
inline constexpr int max_block_threads = 256;
/// Shared memory that every device gives a block without further ado.
inline constexpr std::size_t max_shared_bytes = 48 * 1024;

}  // namespace lockstep::device::cuda
