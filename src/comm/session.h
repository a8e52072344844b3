#pragma once

namespace lockstep::comm {

/// MPI for the life of the process: MPI_Init_thread (funneled) and MPI_Finalize. Make one, on the main
/// thread, which is the only one that may call MPI. Throws Error if MPI cannot start.
class Session {
 public:
  Session(int& argc, char**& argv);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
};

/// "Open MPI 4.1.4"; works without a Session.
const char* mpi_version();

}  // namespace lockstep::comm
