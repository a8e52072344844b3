#include "comm/mpi_collective.h"

#include <limits>

#include "base/check.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

constexpr std::string_view exchanging = "the exchange of gradients";
constexpr std::string_view gathering = "the gathering of weights";
constexpr int tag = 0;  // messages between two ranks arrive in the order in which they are sent

Datatype block_type() {
  MPI_Datatype type = MPI_DATATYPE_NULL;
  require_mpi(MPI_Type_contiguous(Parameters::block, MPI_FLOAT, &type), "MPI_Type_contiguous", "set-up");
  Datatype owned(type);
  require_mpi(MPI_Type_commit(&type), "MPI_Type_commit", "set-up");
  return owned;
}

}  // namespace

MpiCollective::MpiCollective(World& world, std::int64_t slab_size, std::int64_t shards)
    : Collective(world, slab_size, shards), block_(block_type()) {
  check(slab_size / Parameters::block <= std::numeric_limits<int>::max(), "MPI can count a slab's blocks");
  for (int rank = 0; rank < world.size(); ++rank) {
    slice_first_block_.push_back(static_cast<int>(slice(rank).begin / Parameters::block));
    slice_blocks_.push_back(static_cast<int>(slice(rank).size() / Parameters::block));
  }

  const std::size_t own_partials = results_of(world.rank()).size();
  const std::size_t others = results_.size() - own_partials;
  received_ =
      make_buffer(static_cast<std::int64_t>(others) * own_slice().size(), "the gradients of other ranks");
  float* next = received_.data();
  for (int rank = 0; rank < world.size(); ++rank) {
    received_from_.push_back(next);
    if (rank == world.rank()) continue;
    for (SlicePartial& partial : results_of(rank)) {
      partial.data = next;
      next += own_slice().size();
    }
  }
  const std::size_t most_requests = others + own_partials * static_cast<std::size_t>(world.size() - 1);
  requests_.reserve(most_requests);
  statuses_.resize(most_requests);
}

void MpiCollective::receive_from(int rank) {
  const int blocks = slice_blocks_[static_cast<std::size_t>(world_.rank())];
  float* into = received_from_[static_cast<std::size_t>(rank)];
  for (std::size_t partial = 0; partial < results_of(rank).size(); ++partial) {
    MPI_Request& request = requests_.emplace_back(MPI_REQUEST_NULL);
    require_mpi(MPI_Irecv(into, blocks, block_.get(), rank, tag, world_.native().handle, &request),
                "MPI_Irecv", exchanging);
    into += own_slice().size();
  }
}

void MpiCollective::send_to(int rank, std::span<const Partial> local) {
  const int blocks = slice_blocks_[static_cast<std::size_t>(rank)];
  for (const Partial& partial : local) {
    MPI_Request& request = requests_.emplace_back(MPI_REQUEST_NULL);
    require_mpi(MPI_Isend(partial.data + slice(rank).begin, blocks, block_.get(), rank, tag,
                          world_.native().handle, &request),
                "MPI_Isend", exchanging);
  }
}

void MpiCollective::wait_for_all() {
  const int code = MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), statuses_.data());
  if (code == MPI_ERR_IN_STATUS)  // the cause is in one of the statuses; the others may say "pending"
    for (std::size_t i = 0; i < requests_.size(); ++i)
      if (statuses_[i].MPI_ERROR != MPI_ERR_PENDING)
        require_mpi(statuses_[i].MPI_ERROR, "MPI_Waitall", exchanging);
  require_mpi(code, "MPI_Waitall", exchanging);
}

std::span<const SlicePartial> MpiCollective::exchange(std::span<const Partial> local) {
  take_local(local);
  requests_.clear();
  // Each rank begins with its right neighbour, so that not all of them send to rank 0 first. Empty slices
  // are left out on both sides.
  const int size = world_.size();
  if (!own_slice().empty())
    for (int step = 1; step < size; ++step) receive_from((world_.rank() + size - step) % size);
  for (int step = 1; step < size; ++step) {
    const int rank = (world_.rank() + step) % size;
    if (!slice(rank).empty()) send_to(rank, local);
  }
  wait_for_all();
  return results_;
}

void MpiCollective::all_gather(std::span<float> weights) {
  check(std::ssize(weights) == slab_size_, "weights are a slab");
  require_mpi(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, weights.data(), slice_blocks_.data(),
                             slice_first_block_.data(), block_.get(), world_.native().handle),
              "MPI_Allgatherv", gathering);
}

}  // namespace lockstep::comm
