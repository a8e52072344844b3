#include "comm/host_messages.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

constexpr std::string_view exchanging = "the exchange of gradients";
constexpr std::string_view gathering = "the gathering of weights";

/// The rank of a run that sends to an owner.
int sender(Range run, int owner) {
  return static_cast<int>(run.begin + owner % run.size());
}

/// The rank of a host that receives an owner's weights.
int receiver(std::span<const int> ranks, int owner) {
  return ranks[static_cast<std::size_t>(owner) % ranks.size()];
}

}  // namespace

HostMessages::HostMessages(World& world, const Hosts& hosts, std::int64_t slab_size, std::int64_t shards,
                           std::span<SlicePartial> results)
    : world_(world), slab_size_(slab_size), results_(results), messages_(world) {
  check(slab_size / Parameters::block <= std::numeric_limits<int>::max(), "MPI can count a slab's blocks");
  plan_incoming(hosts, shards);
  plan_outgoing(hosts, shards);
  plan_all_gather(hosts);
  messages_.reserve(std::max(incoming_.size() + outgoing_.size(), weights_from_.size() + weights_to_.size()));
}

void HostMessages::plan_incoming(const Hosts& hosts, std::int64_t shards) {
  const Range own = slice(world_.rank());
  std::vector<SlicePartial*> others;
  std::vector<int> senders;
  for (const Range run : hosts.runs()) {
    if (hosts.are_together(static_cast<int>(run.begin), world_.rank())) continue;
    for (SlicePartial& partial : within(results_, shards_of_run(shards, world_.size(), run))) {
      others.push_back(&partial);
      senders.push_back(sender(run, world_.rank()));
    }
  }
  received_ = make_buffer(world_, std::ssize(others) * own.size(), "the gradients of other ranks");
  for (std::size_t i = 0; i < others.size(); ++i) {
    float* data = received_.data() + static_cast<std::int64_t>(i) * own.size();
    others[i]->data = data;
    if (!own.empty()) incoming_.push_back({senders[i], data});
  }
}

void HostMessages::plan_outgoing(const Hosts& hosts, std::int64_t shards) {
  const int rank = world_.rank();
  const auto run = std::find_if(hosts.runs().begin(), hosts.runs().end(),
                                [rank](Range candidate) { return candidate.contains(rank); });
  const std::vector<Subtree> trees = subtrees(shards_of_run(shards, world_.size(), *run), shards);
  std::int64_t floats = 0;
  // Each rank begins with its right neighbour, so that not all of them send to rank 0 first.
  for (int step = 1; step < world_.size(); ++step) {
    const int owner = (rank + step) % world_.size();
    const bool is_ours = !hosts.are_together(owner, rank) && sender(*run, owner) == rank;
    if (!is_ours || slice(owner).empty()) continue;
    for (const Subtree tree : trees) {
      outgoing_.push_back({owner, tree, nullptr});
      if (within(results_, tree.shards()).size() > 1) floats += slice(owner).size();
    }
  }
  sums_ = make_buffer(world_, floats, "the sums for other hosts");
  float* next = sums_.data();
  for (Outgoing& outgoing : outgoing_) {
    if (within(results_, outgoing.tree.shards()).size() == 1) continue;
    outgoing.sum = next;
    next += slice(outgoing.to).size();
  }
}

void HostMessages::plan_all_gather(const Hosts& hosts) {
  const int own_host = hosts.host_of(world_.rank());
  for (int host = 0; host < hosts.count(); ++host) {
    if (host == own_host) continue;
    if (!slice(world_.rank()).empty()) weights_to_.push_back(receiver(hosts.ranks_of(host), world_.rank()));
    for (const int owner : hosts.ranks_of(host)) {
      if (slice(owner).empty() || receiver(hosts.ranks_of(own_host), owner) != world_.rank()) continue;
      weights_from_.push_back(owner);
      received_slices_.push_back(slice(owner));
    }
  }
}

/// Entries of the own host point at this rank's slice of a slab; another slice is as far from there as the
/// two slices are from each other.
const float* HostMessages::ready_to_send(const Outgoing& outgoing) const {
  const Range wanted = slice(outgoing.to);
  const std::int64_t distance = wanted.begin - slice(world_.rank()).begin;
  const std::span<const SlicePartial> partials = within(results_, outgoing.tree.shards());
  if (outgoing.sum == nullptr) return partials.front().data + distance;
  add_up(partials, outgoing.tree, distance, {outgoing.sum, static_cast<std::size_t>(wanted.size())});
  return outgoing.sum;
}

void HostMessages::exchange() {
  for (const Incoming& incoming : incoming_)
    messages_.receive(incoming.from, incoming.data, slice(world_.rank()).size(), exchanging);
  for (const Outgoing& outgoing : outgoing_)
    messages_.send(outgoing.to, ready_to_send(outgoing), slice(outgoing.to).size(), exchanging);
  messages_.wait_for_all(exchanging);
}

void HostMessages::all_gather(std::span<float> weights) {
  check(std::ssize(weights) == slab_size_, "weights are a slab");
  for (std::size_t i = 0; i < weights_from_.size(); ++i)
    messages_.receive(weights_from_[i], weights.data() + received_slices_[i].begin,
                      received_slices_[i].size(), gathering);
  const Range own = slice(world_.rank());
  for (const int rank : weights_to_) messages_.send(rank, weights.data() + own.begin, own.size(), gathering);
  messages_.wait_for_all(gathering);
}

void HostMessages::progress() const {
  int is_there = 0;
  require_mpi(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, world_.native().handle, &is_there, MPI_STATUS_IGNORE),
              "MPI_Iprobe", "a meeting of the ranks of this host");
}

std::int64_t HostMessages::bytes_per_step() const {
  std::int64_t floats = std::ssize(weights_to_) * slice(world_.rank()).size();
  for (const Outgoing& outgoing : outgoing_) floats += slice(outgoing.to).size();
  return floats * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace lockstep::comm
