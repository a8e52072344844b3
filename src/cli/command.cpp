#include "cli/command.h"

#include <cstdlib>
#include <exception>
#include <new>
#include <string_view>

#include "base/log.h"
#include "comm/session.h"

namespace lockstep::cli {

bool is_first_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK"})
    if (const char* rank = std::getenv(variable)) return std::string_view(rank) == "0";
  return true;
}

Action on_first_rank(Action action) {
  if (is_first_rank()) return action;
  return [] { return static_cast<int>(ExitCode::success); };
}

int on_ranks(const std::function<ExitCode(comm::World&)>& work) {
  int no_arguments = 0;
  char** none = nullptr;
  const comm::Session session(no_arguments, none);
  comm::World world;
  // What rank 0 says is meant for all ranks, unless it ends the job alone.
  if (!world.is_root()) log::set_rank(world.rank());
  const auto end_job = [&](ExitCode code, const char* message) {
    if (world.size() > 1) log::set_rank(world.rank());
    log::write_error(message);
    if (world.size() > 1) world.abort(code);
    return static_cast<int>(code);
  };
  try {
    return static_cast<int>(work(world));
  } catch (const comm::AgreedError& error) {
    if (world.is_root()) log::write_error(error.what());
    return static_cast<int>(error.code());
  } catch (const Error& error) {
    return end_job(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return end_job(ExitCode::internal, out_of_memory);
  } catch (const std::exception& error) {
    return end_job(ExitCode::internal, error.what());
  }
}

}  // namespace lockstep::cli
