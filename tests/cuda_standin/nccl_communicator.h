#pragma once

#include <nccl.h>

#include <memory>
#include <string>
#include <vector>

#include "nccl_link.h"

namespace lockstep::standin::nccl {

/// One rank's end of a communicator: connected to all other ranks, on this host. It outlives its handle as
/// long as operations of it are queued. Nothing here waits: state() tells how far things are.
class Communicator {
 public:
  Communicator(const ncclUniqueId& id, int ranks, int rank, int device, bool blocking);

  [[nodiscard]] int ranks() const { return ranks_; }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int device() const { return device_; }
  [[nodiscard]] bool blocking() const { return blocking_; }
  [[nodiscard]] Link& link(int peer) { return links_[static_cast<std::size_t>(peer)]; }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }

  /// Moves what can be moved. ncclInProgress while ranks connect or take leave; an error for good once there
  /// is one.
  ncclResult_t progress();
  [[nodiscard]] ncclResult_t state() const;
  void fail(ncclResult_t error, const std::string& message);

  /// Takes leave of the other ranks, once all operations are done; then the state is ncclSuccess again.
  void finalize() { phase_ = Phase::finalizing; }
  [[nodiscard]] bool finalizing() const { return phase_ == Phase::finalizing; }
  [[nodiscard]] bool finalized() const { return phase_ == Phase::finalized; }
  /// Breaks all connections. Operations end without a result.
  void abort();
  [[nodiscard]] bool aborted() const { return phase_ == Phase::aborted; }

  /// A communicator does one operation at a time: what order two would have on other ranks is not known.
  void begin_operation();
  void end_operation();
  /// Operations that are queued, those in graphs not counted.
  void count_queued(int change);
  /// Held by each operation that was recorded in a graph.
  [[nodiscard]] const std::shared_ptr<int>& recorded() const { return recorded_; }

 private:
  enum class Phase { connecting, working, finalizing, finalized, aborted };

  [[nodiscard]] std::string address(int rank) const;
  void connect();
  void identify_callers();
  void check_hellos();
  void take_leave();

  std::string name_;
  int ranks_, rank_, device_;
  bool blocking_;
  Phase phase_ = Phase::connecting;
  bool said_bye_ = false;
  bool busy_ = false;
  int queued_ = 0;
  std::shared_ptr<int> recorded_ = std::make_shared<int>();
  ncclResult_t error_ = ncclSuccess;
  std::string last_error_;
  Hello hello_;
  Socket listening_;
  std::vector<Link> callers_;  ///< who they are is not known yet
  std::vector<Link> links_;    ///< by rank; the own one stays closed
};

}  // namespace lockstep::standin::nccl
