#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/partition.h"

namespace lockstep::comm {

/// Which ranks are on one host, and so see each other's slabs. Hosts are counted in the order of their lowest
/// ranks. The same on all ranks.
class Hosts {
 public:
  /// From a name for each rank, by rank: ranks of one name are on one host.
  explicit Hosts(std::span<const std::string> names);
  /// `size` consecutive ranks to a host; the last host may have fewer.
  static Hosts of_size(int size, int ranks);

  [[nodiscard]] int count() const { return static_cast<int>(ranks_.size()); }
  [[nodiscard]] int host_of(int rank) const { return host_of_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] bool are_together(int rank, int other) const { return host_of(rank) == host_of(other); }
  /// A host's ranks, ascending.
  [[nodiscard]] std::span<const int> ranks_of(int host) const {
    return ranks_[static_cast<std::size_t>(host)];
  }
  /// The longest runs of consecutive ranks that are on one host, in order.
  [[nodiscard]] std::span<const Range> runs() const { return runs_; }

 private:
  std::vector<int> host_of_;             // by rank
  std::vector<std::vector<int>> ranks_;  // by host
  std::vector<Range> runs_;
};

}  // namespace lockstep::comm
