#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "comm/activity.h"

namespace lockstep::comm {

struct Communicator;

/// An Error that every rank throws at the same point, with the same message and code: nobody waits for
/// anybody, so rank 0 alone reports it and the job ends in the ordinary way (see Session).
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// The control plane: small host-side messages among all ranks, always over MPI. Main thread only. Every
/// method is collective (all ranks must call it, in the same order) unless it says otherwise, and throws
/// Error(internal) naming the rank and the operation if MPI reports a failure.
class World {
 public:
  /// All ranks of the job. Requires a Session. Collective.
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] int rank() const { return rank_; }  // not collective
  [[nodiscard]] int size() const { return size_; }  // not collective
  [[nodiscard]] bool is_root() const { return rank_ == 0; }
  /// Host name of each rank, by rank. Not collective: gathered once by the constructor.
  [[nodiscard]] const std::vector<std::string>& hosts() const { return hosts_; }
  /// Number of distinct hosts. Not collective.
  [[nodiscard]] int host_count() const;

  void barrier();
  /// The root's text, on all ranks.
  std::string broadcast(std::string_view text);
  /// The root's bytes into everybody's; any number, the same on all ranks.
  void broadcast_into(std::span<std::byte> bytes);
  /// Every rank's text, by rank, on every rank.
  std::vector<std::string> all_gather(std::string_view text);
  /// Raw bytes of every rank, in rank order (lengths may differ), on every rank. At most 2 GiB in total.
  std::vector<std::vector<std::byte>> all_gather_bytes(std::span<const std::byte> bytes);
  /// The same for a length that all ranks share, without allocating: for what is done every step. Requires
  /// all.size() = size() · own.size().
  void all_gather_into(std::span<const std::byte> own, std::span<std::byte> all);
  /// Every rank's bytes, end to end in rank order, into the root's `all`; any number, lengths may differ. The
  /// other ranks' `all` is not looked at. Requires that they fill the root's.
  void gather_into(std::span<const std::byte> own, std::span<std::byte> all);
  /// Element-wise, in place: the sum of all ranks' values. For counts and flags, whose sums are exact.
  void sum(std::span<std::int64_t> values);
  void max(std::span<std::int64_t> values);

  /// From one rank to another, which knows how many bytes will come. Not collective: the receiver calls
  /// receive() with as many bytes, and both do so at the same point among their calls of other methods.
  void send(std::span<const std::byte> bytes, int to);
  void receive(std::span<std::byte> bytes, int from);

  /// Runs something that may fail on some ranks only (opening a file, reading a shard), then agrees on the
  /// outcome: if it threw on any rank, every rank throws the same AgreedError: the message of the lowest such
  /// rank with "rank N on HOST: " in front unless all ranks say the same, and its code. So foreseen failures
  /// are reported once and nobody waits. `work` must not itself be collective, or must fail on all ranks.
  void agree(const std::function<void()>& work);

  /// Ends the whole job at once with this status, without waiting for other ranks. Not collective. For
  /// failures that the others cannot know of. Print the message first.
  [[noreturn]] void abort(ExitCode code);

  /// What this rank is at. Each method above shows that it waits while it does. Not collective.
  [[nodiscard]] Activity& activity() { return activity_; }

  /// The communicator, for comm/ itself (comm/mpi_calls.h).
  [[nodiscard]] const Communicator& native() const { return *communicator_; }

 private:
  std::unique_ptr<Communicator> communicator_;  // a duplicate of MPI_COMM_WORLD
  int rank_ = 0;
  int size_ = 1;
  std::vector<std::string> hosts_;
  Activity activity_;
};

}  // namespace lockstep::comm
