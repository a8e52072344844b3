#pragma once

#include <memory>
#include <vector>

#include "nccl_communicator.h"
#include "runtime.h"

namespace lockstep::standin::nccl {

std::size_t element_bytes(ncclDataType_t type);

/// All calls of one group, which NCCL makes one operation of the stream: everything in it moves side by side.
/// A copy of it is a run that has not begun.
///
/// Nothing is sent before the other side has promised to take it, as NCCL's kernels wait for each other: a
/// send ends only where there is a receive.
class Operation {
 public:
  explicit Operation(std::shared_ptr<Communicator> communicator) : communicator_(std::move(communicator)) {}

  void send(const void* data, Parcel parcel, int peer);
  void receive(void* data, Parcel parcel, int peer);
  /// Sums of floats, in an order of additions that depends on the number of ranks; the same bits on all of
  /// them.
  void all_reduce(const float* from, float* to, std::int64_t count);

  [[nodiscard]] Communicator& communicator() const { return *communicator_; }
  [[nodiscard]] std::vector<Access> accesses() const;
  /// Says before it is queued whether that is in a graph, where it runs any number of times.
  void set_recorded(bool recorded);

  /// Whether the run is done. To be called until it is.
  bool try_run();

 private:
  struct Transfer {
    bool sends = false;
    const void* from = nullptr;  ///< of a send
    void* to = nullptr;          ///< of a receive; null: only kept, for a reduction
    Parcel parcel;
    int peer = 0;
    bool done = false;
    std::vector<std::byte> kept = {};
    [[nodiscard]] std::size_t bytes() const;
  };
  struct Reduction {
    const float* from;
    float* to;
    std::int64_t count;
    std::size_t first_transfer;  ///< to and from each other rank, in order
  };

  void begin();
  void exchange_with_itself();
  void match(Transfer& transfer);
  void reduce(const Reduction& reduction) const;

  std::shared_ptr<Communicator> communicator_;
  std::shared_ptr<int> recorded_;
  std::vector<Transfer> transfers_;
  std::vector<Reduction> reductions_;
  bool begun_ = false;
};

}  // namespace lockstep::standin::nccl
