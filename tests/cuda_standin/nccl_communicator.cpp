#include "nccl_communicator.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "race_detector.h"
#include "runtime.h"

namespace lockstep::standin::nccl {

Communicator::Communicator(const ncclUniqueId& id, int ranks, int rank, int device, bool blocking)
    : name_(id.internal, ::strnlen(id.internal, sizeof id.internal)),
      ranks_(ranks),
      rank_(rank),
      device_(device),
      blocking_(blocking),
      links_(static_cast<std::size_t>(ranks)) {
  hello_ = {.ranks = ranks, .rank = rank, .device = {}};
  device_uuid(device).copy(hello_.device.data(), hello_.device.size() - 1);
  listening_ = listen_as(address(rank));
  if (!listening_)
    fail(ncclInvalidUsage, "rank " + std::to_string(rank) + " of this communicator exists already");
}

std::string Communicator::address(int rank) const {
  return name_ + "/" + std::to_string(rank);
}

ncclResult_t Communicator::state() const {
  if (error_ != ncclSuccess) return error_;
  return phase_ == Phase::connecting || phase_ == Phase::finalizing ? ncclInProgress : ncclSuccess;
}

void Communicator::fail(ncclResult_t error, const std::string& message) {
  if (error_ != ncclSuccess) return;
  error_ = error;
  last_error_ = message;
}

ncclResult_t Communicator::progress() {
  const Unwatched bookkeeping;
  if (phase_ == Phase::aborted) return state();
  if (phase_ == Phase::connecting && error_ == ncclSuccess) connect();
  for (int peer = 0; peer < ranks_; ++peer) {
    link(peer).progress();
    // One that found out before this rank why there will be no communicator may be gone already, its hello
    // said.
    if (link(peer).lost() && (phase_ != Phase::connecting || !link(peer).hello()))
      fail(ncclRemoteError, "rank " + std::to_string(peer) + " is gone");
  }
  if (phase_ == Phase::finalizing && error_ == ncclSuccess) take_leave();
  return state();
}

/// Each rank calls those below it, and is called by those above.
void Communicator::connect() {
  for (int peer = 0; peer < rank_; ++peer) {
    if (link(peer).open() || link(peer).hello() || link(peer).lost()) continue;
    link(peer) = Link(try_to_connect(address(peer)));
    if (link(peer).open()) link(peer).say_hello(hello_);
  }
  while (Socket caller = accept_from(listening_)) callers_.emplace_back(std::move(caller));
  identify_callers();
  for (int peer = 0; peer < ranks_; ++peer) link(peer).progress();
  check_hellos();
}

void Communicator::identify_callers() {
  for (auto& caller : callers_) {
    caller.progress();
    if (caller.lost()) fail(ncclRemoteError, "a rank is gone before it had said which one it is");
    if (!caller.hello()) continue;
    const int peer = caller.hello()->rank;
    if (peer <= rank_ || peer >= ranks_ || link(peer).open())
      return fail(ncclInvalidUsage, "ranks disagree on who takes part");
    caller.say_hello(hello_);
    link(peer) = std::move(caller);
  }
  std::erase_if(callers_, [](const Link& caller) { return !caller.open(); });
}

void Communicator::check_hellos() {
  for (int peer = 0; peer < ranks_; ++peer)
    if (peer != rank_ && !link(peer).hello()) return;
  const auto hello = [&](int rank) -> const Hello& { return rank == rank_ ? hello_ : *link(rank).hello(); };
  for (int rank = 0; rank < ranks_; ++rank) {
    if (hello(rank).ranks != ranks_) return fail(ncclInvalidUsage, "ranks disagree on how many they are");
    for (int other = 0; other < rank; ++other)
      if (hello(rank).device == hello(other).device)
        return fail(ncclInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(rank) + " and rank " +
                                          std::to_string(other) + " both on CUDA device " +
                                          hello(rank).device.data());
  }
  phase_ = Phase::working;
  listening_.reset();
}

void Communicator::take_leave() {
  if (busy_ || queued_ > 0) return;
  for (int peer = 0; peer < ranks_; ++peer) {
    if (peer == rank_) continue;
    if (!said_bye_) link(peer).say_bye();
    link(peer).progress();
  }
  said_bye_ = true;
  for (int peer = 0; peer < ranks_; ++peer)
    if (peer != rank_ && !(link(peer).flushed() && link(peer).said_bye())) return;
  phase_ = Phase::finalized;
}

void Communicator::begin_operation() {
  if (busy_)
    violation(
        "NCCL: two operations of one communicator run at a time: neither stream order nor an event says "
        "which one "
        "is first, so other ranks may see another order");
  busy_ = true;
}

void Communicator::end_operation() {
  busy_ = false;
}

void Communicator::count_queued(int change) {
  queued_ += change;
}

void Communicator::abort() {
  const Unwatched bookkeeping;
  phase_ = Phase::aborted;
  listening_.reset();
  callers_.clear();
  for (auto& each : links_) each.close();
}

}  // namespace lockstep::standin::nccl
