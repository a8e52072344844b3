#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "comm/mpi_calls.h"
#include "comm/world.h"
#include "tensor/parameters.h"

namespace lockstep::comm {

/// Messages of whole blocks of Parameters::block floats, so that MPI's int counts hold for slabs of up to 8
/// TB. Two ranks' messages arrive in the order in which they are sent. `operation` is for the message of a
/// failure. Main thread only.
class BlockMessages {
 public:
  explicit BlockMessages(World& world);

  /// So many messages between two calls of wait_for_all allocate nothing.
  void reserve(std::size_t messages);
  /// Begin; `data` must stay until wait_for_all returns.
  void receive(int from, float* data, std::int64_t floats, std::string_view operation);
  void send(int to, const float* data, std::int64_t floats, std::string_view operation);
  void wait_for_all(std::string_view operation);

  [[nodiscard]] MPI_Datatype block_type() const { return block_.get(); }
  static int blocks(std::int64_t floats) { return static_cast<int>(floats / Parameters::block); }

 private:
  World& world_;
  Datatype block_;
  std::vector<MPI_Request> requests_;
  std::vector<MPI_Status> statuses_;
};

}  // namespace lockstep::comm
