#include "comm/session.h"

#include <mpi.h>

#include <array>
#include <exception>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "comm/mpi_calls.h"

namespace lockstep::comm {

Session::Session(int& argc, char**& argv) : exceptions_before_(std::uncaught_exceptions()) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) fail(ExitCode::internal, "MPI was started twice: a process makes one comm::Session");
  int provided = MPI_THREAD_SINGLE;
  const int code = MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS) fail(ExitCode::internal, "MPI cannot start: MPI_Init_thread returned {}", code);
  // Communicators made later inherit the handler of the one they are made from.
  require_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler",
              "start-up");
  require_mpi(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler",
              "start-up");
  if (provided < MPI_THREAD_FUNNELED)
    fail(ExitCode::internal, "{} was built without threads: Lockstep needs MPI_THREAD_FUNNELED",
         mpi_version());
}

Session::~Session() {
  if (std::uncaught_exceptions() > exceptions_before_) return;
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0 && MPI_Finalize() != MPI_SUCCESS) log::write_warning("MPI_Finalize failed");
}

const char* mpi_version() {
  static const std::string version = [] {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
    int length = 0;
    MPI_Get_library_version(text.data(), &length);
    // "Open MPI v4.1.4, package: …": the rest says who built it, and where.
    std::string all(text.data(), static_cast<std::size_t>(length));
    all.resize(all.find_first_of(",\n") == std::string::npos ? all.size() : all.find_first_of(",\n"));
    if (const auto prefix = all.find(" v"); prefix != std::string::npos) all.erase(prefix + 1, 1);
    return all;
  }();
  return version.c_str();
}

}  // namespace lockstep::comm
