#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/world.h"

namespace lockstep::comm {

/// Memory of this process that may be mapped by others. Unmaps on destruction; the memory itself goes back to
/// the system when the last process has unmapped it or died, so nothing can be left behind.
class Mapping {
 public:
  Mapping() = default;
  /// Maps a whole file of `bytes` bytes for reading and writing. Throws Error, with the limit to look at.
  Mapping(int file, std::int64_t bytes);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Segments of memory, one for each rank that wants one, mapped by every rank of its host. Zeroed, on a page.
///
/// Each rank makes an anonymous file (memfd) and the others open it through /proc. Unlike
/// MPI_Win_allocate_shared this needs no room in /dev/shm (64 MiB in many containers), a failure on one rank
/// is agreed on by all instead of leaving the others waiting, and neither making nor freeing order matters
/// while an exception unwinds. The memory is reserved at once: what a limit or the system refuses is an error
/// here, not a SIGBUS later, and where the kernel would rather kill a process than refuse memory (all of the
/// host's is used, or all of a container's), it does so during set-up.
class SharedMemory {
 public:
  /// `ranks`: those of this rank's host. `bytes`: of this rank's segment; it may have none. Collective over
  /// all hosts. Throws AgreedError, naming the rank and the reason, if any rank cannot make, reserve, find or
  /// map a segment; nothing is kept then.
  SharedMemory(World& world, std::span<const int> ranks, std::int64_t bytes);
  /// The segment of a rank of this host, as mapped here; empty if it has none.
  [[nodiscard]] std::span<std::byte> segment(int rank) const {
    return segments_[static_cast<std::size_t>(rank)].bytes();
  }

 private:
  std::vector<Mapping> segments_;  // by rank; those of other hosts are not mapped
};

}  // namespace lockstep::comm
