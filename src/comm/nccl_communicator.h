#pragma once

#include <nccl.h>

#include <cstdint>
#include <future>
#include <source_location>
#include <string>
#include <string_view>

#include "comm/world.h"

/// NCCL's communicator of all ranks, one device for each: connected, polled and given up here, so that no
/// call waits for a rank that is gone. Only nccl_*.cpp include this file: it brings in nccl.h.
namespace lockstep::comm {

class NcclCommunicator {
 public:
  /// Connects all ranks, each with the device of its Accelerator. Collective; throws AgreedError.
  NcclCommunicator(World& world, int device);
  /// While an exception unwinds, drops the connections at once: others may never come to part in order.
  ~NcclCommunicator();
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  /// Asks for what `calls` asks for with the methods below as one operation, parts of which do not wait for
  /// each other, and named `operation` in messages. It is on its stream, and the next group may follow, once
  /// is_settled() says so. May be captured. Not collective, but the other ranks must do what matches.
  template <class Calls>
  void group(std::string_view operation, const Calls& calls) {
    try {
      begin(operation);
      calls();
      end();
    } catch (...) {
      drop_group();
      throw;
    }
  }
  void send(const float* data, std::int64_t count, int to, cudaStream_t stream);
  void receive(float* data, std::int64_t count, int from, cudaStream_t stream);
  void all_reduce(float* values, std::int64_t count, cudaStream_t stream);

  /// Whether NCCL is done with what it was last asked for. Throws Error(internal) if that, or a connection,
  /// has failed. Not collective.
  bool is_settled(std::source_location where = std::source_location::current());
  /// The same where all is settled, and `operation` goes on in what was queued.
  void look(std::string_view operation);
  /// Drops all connections, so that what is queued on them comes to its end. Not while a capture goes on.
  /// Nothing but the destructor may follow. Returns at once: NCCL is done with it only when graphs that have
  /// its operations are gone, for which the destructor waits.
  void abort() noexcept;

 private:
  void connect(World& world);
  void begin(std::string_view operation);
  void end();
  void drop_group() noexcept;
  void require(ncclResult_t result, std::string_view function,
               std::source_location where = std::source_location::current());
  void part();

  int device_;
  int exceptions_before_;
  std::string rank_;  ///< "rank 1 on node7: "; empty while connecting, when World::agree names it
  std::string_view operation_ = "connecting the ranks";
  bool in_group_ = false;
  ncclComm_t communicator_ = nullptr;  ///< null once it was given up
  std::future<void> aborted_;          ///< set when it is
};

}  // namespace lockstep::comm
