#pragma once

namespace lockstep::comm {

/// MPI for the life of the process: MPI_Init_thread (funneled) and MPI_Finalize. Make one, on the main
/// thread, which is the only one that may call MPI. Works without mpirun as a job of one rank. Throws Error
/// if MPI cannot start. From here on a failing MPI call returns and becomes an Error, on every communicator.
///
/// How a program ends. MPI_Finalize waits for all ranks, so it must run only where all ranks get to it:
///
///     comm::Session session(argc, argv);
///     comm::World world;
///     try {
///       return run(world);                  // all ranks return: the destructor finalizes
///     } catch (const comm::AgreedError& error) {
///       if (world.is_root()) report(error);  // all ranks are here: the destructor finalizes
///       return status(error);
///     } catch (const std::exception& error) {
///       report(error);                      // maybe this rank only; the others may wait for it
///       world.abort(status(error));         // ends them too
///     }
///
/// As a second line of defence, the destructor does not finalize while an exception unwinds through it: a
/// process that exits without MPI_Finalize makes mpirun end the job, where waiting could freeze it.
class Session {
 public:
  Session(int& argc, char**& argv);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  int exceptions_before_;
};

/// "Open MPI 4.1.4"; works without a Session.
const char* mpi_version();

}  // namespace lockstep::comm
