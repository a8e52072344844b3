#include "comm/hosts.h"

#include <map>

namespace lockstep::comm {

Hosts::Hosts(std::span<const std::string> names) {
  std::map<std::string, int> known;
  for (const std::string& name : names) {
    const auto rank = static_cast<int>(host_of_.size());
    const int host = known.try_emplace(name, count()).first->second;
    if (host == count()) ranks_.emplace_back();
    ranks_[static_cast<std::size_t>(host)].push_back(rank);
    if (rank == 0 || host_of_.back() != host) runs_.push_back({rank, rank});
    ++runs_.back().end;
    host_of_.push_back(host);
  }
}

Hosts Hosts::of_size(int size, int ranks) {
  std::vector<std::string> names;
  for (int rank = 0; rank < ranks; ++rank) names.push_back(std::to_string(rank / size));
  return Hosts(names);
}

}  // namespace lockstep::comm
