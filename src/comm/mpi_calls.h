#pragma once

#include <mpi.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_handle.h"
#include "comm/world.h"

/// What the sources of comm/ share when they call MPI. Nobody else includes this file: it brings in mpi.h.
namespace lockstep::comm {

/// Behind World::native(): the one communicator of the job.
struct Communicator {
  MPI_Comm handle = MPI_COMM_NULL;
};

/// Every return code of MPI goes through here. Throws Error(internal) "rank N on HOST: MPI_Xxx in <operation>
/// failed: <MPI's text>" unless `code` is MPI_SUCCESS.
void require_mpi(int code, std::string_view call, std::string_view operation);

/// The sum of all ranks' values, in place, in whatever order MPI likes. Collective.
void sum_over_ranks(World& world, float* values, std::int64_t count, std::string_view operation);

/// "rank 3 on node7", as messages name a rank.
std::string rank_on_host(int rank, std::string_view host);

struct DatatypeTraits {
  using Type = MPI_Datatype;
  static Type null() { return MPI_DATATYPE_NULL; }
  static void close(Type type) noexcept;  // local: safe while an exception unwinds
};
using Datatype = UniqueHandle<DatatypeTraits>;

}  // namespace lockstep::comm
