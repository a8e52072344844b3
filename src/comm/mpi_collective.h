#pragma once

#include <vector>

#include "base/aligned_buffer.h"
#include "comm/collective.h"
#include "comm/mpi_calls.h"

namespace lockstep::comm {

/// Any ranks on any hosts, by MPI messages: each rank sends every owner its slice of each partial sum, and
/// new weights go by MPI_Allgatherv. Lengths are counted in blocks of Parameters::block, so that MPI's int
/// counts hold for slabs of up to 8 TB.
class MpiCollective final : public Collective {
 public:
  MpiCollective(World& world, std::int64_t slab_size, std::int64_t shards);
  [[nodiscard]] std::string_view name() const override { return "mpi"; }
  std::span<float> make_slab() override { return make_private_slab(); }
  std::span<const SlicePartial> exchange(std::span<const Partial> local) override;
  void all_gather(std::span<float> weights) override;

 private:
  void receive_from(int rank);
  void send_to(int rank, std::span<const Partial> local);
  void wait_for_all();

  Datatype block_;
  std::vector<int> slice_blocks_;       // of each rank
  std::vector<int> slice_first_block_;  // of each rank
  AlignedBuffer<float> received_;       // the own slice of each partial sum of the others
  std::vector<float*> received_from_;   // where those of each rank begin in it
  std::vector<MPI_Request> requests_;   // with room for all of a step
  std::vector<MPI_Status> statuses_;
};

}  // namespace lockstep::comm
