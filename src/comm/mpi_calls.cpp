#include "comm/mpi_calls.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/error.h"
#include "base/log.h"

namespace lockstep::comm {
namespace {

std::string error_text(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) return fmt::format("error {}", code);
  return {text.data(), static_cast<std::size_t>(length)};
}

std::string this_rank() {
  int rank = 0;
  std::array<char, MPI_MAX_PROCESSOR_NAME> host{};
  int length = 0;
  // Called while a failure is reported: a second one could add nothing, so these codes are not looked at.
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Get_processor_name(host.data(), &length);
  return rank_on_host(rank, {host.data(), static_cast<std::size_t>(length)});
}

}  // namespace

void require_mpi(int code, std::string_view call, std::string_view operation) {
  if (code == MPI_SUCCESS) return;
  fail(ExitCode::internal, "{}: {} in {} failed: {}", this_rank(), call, operation, error_text(code));
}

void sum_over_ranks(World& world, float* values, std::int64_t count, std::string_view operation) {
  constexpr std::int64_t most = std::int64_t{1}
                                << 28;  // MPI counts are int; a message of 1 GiB loses nothing
  for (std::int64_t first = 0; first < count; first += most)
    require_mpi(MPI_Allreduce(MPI_IN_PLACE, values + first, static_cast<int>(std::min(most, count - first)),
                              MPI_FLOAT, MPI_SUM, world.native().handle),
                "MPI_Allreduce", operation);
}

std::string rank_on_host(int rank, std::string_view host) {
  return fmt::format("rank {} on {}", rank, host);
}

void DatatypeTraits::close(Type type) noexcept {
  if (MPI_Type_free(&type) != MPI_SUCCESS) log::write_warning("MPI_Type_free failed");
}

}  // namespace lockstep::comm
