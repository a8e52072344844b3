#include "comm/block_messages.h"

namespace lockstep::comm {
namespace {

constexpr int tag = 0;

Datatype make_block_type() {
  MPI_Datatype type = MPI_DATATYPE_NULL;
  require_mpi(MPI_Type_contiguous(Parameters::block, MPI_FLOAT, &type), "MPI_Type_contiguous", "set-up");
  Datatype owned(type);
  require_mpi(MPI_Type_commit(&type), "MPI_Type_commit", "set-up");
  return owned;
}

}  // namespace

BlockMessages::BlockMessages(World& world) : world_(world), block_(make_block_type()) {}

void BlockMessages::reserve(std::size_t messages) {
  requests_.reserve(messages);
  statuses_.reserve(messages);
}

void BlockMessages::receive(int from, float* data, std::int64_t floats, std::string_view operation) {
  require_mpi(MPI_Irecv(data, blocks(floats), block_.get(), from, tag, world_.native().handle,
                        &requests_.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Irecv", operation);
}

void BlockMessages::send(int to, const float* data, std::int64_t floats, std::string_view operation) {
  require_mpi(MPI_Isend(data, blocks(floats), block_.get(), to, tag, world_.native().handle,
                        &requests_.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Isend", operation);
}

void BlockMessages::wait_for_all(std::string_view operation) {
  if (requests_.empty()) return;
  statuses_.resize(requests_.size());
  const int code = MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), statuses_.data());
  if (code == MPI_ERR_IN_STATUS)  // the cause is in one of the statuses; the others may say "pending"
    for (const MPI_Status& status : statuses_)
      if (status.MPI_ERROR != MPI_ERR_PENDING) require_mpi(status.MPI_ERROR, "MPI_Waitall", operation);
  require_mpi(code, "MPI_Waitall", operation);
  requests_.clear();
}

}  // namespace lockstep::comm
