#include <sched.h>

#include <cstring>
#include <random>
#include <string>

#include "nccl_handle.h"

// The functions that make, watch and end communicators.

namespace standin = lockstep::standin;
using standin::nccl::Communicator;
using standin::nccl::continue_launch;
using standin::nccl::usable;

namespace {

using Handles = standin::Handles<ncclComm>;

/// What a call on a blocking communicator does before it returns.
ncclResult_t wait(Communicator& communicator) {
  for (;;) {
    const auto state = communicator.progress();
    if (state != ncclInProgress) return state;
    standin::advance();
    sched_yield();
  }
}

void destroy(ncclComm_t comm) {
  Handles::instance().destroy(comm, "ncclComm_t");
}

bool valid(const ncclConfig_t& config) {
  const ncclConfig_t initial = NCCL_CONFIG_INITIALIZER;
  return config.size == initial.size && config.magic == initial.magic && config.version == initial.version &&
         (config.blocking == NCCL_CONFIG_UNDEF_INT || config.blocking == 0 || config.blocking == 1);
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  if (standin::must_fail("ncclGetVersion")) return ncclSystemError;
  if (version == nullptr) return ncclInvalidArgument;
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* uniqueId) {
  if (standin::must_fail("ncclGetUniqueId")) return ncclSystemError;
  if (uniqueId == nullptr) return ncclInvalidArgument;
  // The name under which the ranks will find each other: not from the seed, as other jobs have the same.
  std::random_device device;
  const std::string name =
      "lockstep-standin-nccl-" + std::to_string(device()) + "-" + std::to_string(device());
  *uniqueId = {};
  name.copy(uniqueId->internal, sizeof uniqueId->internal - 1);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int nranks, ncclUniqueId commId, int rank,
                                    ncclConfig_t* config) {
  if (standin::must_fail("ncclCommInitRankConfig")) return ncclSystemError;
  const auto lock = standin::enter();
  if (comm == nullptr || nranks < 1 || rank < 0 || rank >= nranks) return ncclInvalidArgument;
  if (config != nullptr && !valid(*config)) return ncclInvalidArgument;
  const bool blocking = config == nullptr || config->blocking != 0;
  *comm = Handles::instance().create("ncclComm_t");
  (*comm)->communicator =
      std::make_shared<Communicator>(commId, nranks, rank, standin::current_device(), blocking);
  if (!blocking) return ncclInProgress;
  const auto result = wait(*(*comm)->communicator);
  if (result != ncclSuccess) destroy(std::exchange(*comm, nullptr));
  return result;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* asyncError) {
  if (standin::must_fail("ncclCommGetAsyncError")) return ncclInternalError;
  const bool breaks = standin::must_fail("nccl_async_error");
  const auto lock = standin::enter();
  if (comm == nullptr || asyncError == nullptr) return ncclInvalidArgument;
  standin::check_handle(comm, "ncclCommGetAsyncError", "ncclComm_t");
  auto& communicator = *comm->communicator;
  if (breaks) communicator.fail(ncclRemoteError, "a test asked for an asynchronous error");
  *asyncError = communicator.progress();
  if (*asyncError == ncclSuccess) *asyncError = continue_launch(comm);
  if (communicator.finalizing()) standin::advance();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (standin::must_fail("ncclCommFinalize")) return ncclSystemError;
  const auto lock = standin::enter();
  if (const auto result = usable(comm, "ncclCommFinalize"); result != ncclSuccess) return result;
  auto& communicator = *comm->communicator;
  if (communicator.finalized()) return ncclInvalidUsage;
  communicator.finalize();
  return communicator.blocking() ? wait(communicator) : ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const bool fails = standin::must_fail("ncclCommDestroy");
  const auto lock = standin::enter();
  if (const auto result = usable(comm, "ncclCommDestroy"); result == ncclInvalidArgument) return result;
  auto& communicator = *comm->communicator;
  if (communicator.recorded().use_count() > 1)
    standin::violation("ncclCommDestroy: there are still graphs with operations of this communicator");
  // Without ncclCommFinalize it does so itself, and blocks.
  auto result = communicator.state();
  if (result == ncclSuccess && !communicator.finalized()) {
    communicator.finalize();
    result = wait(communicator);
  }
  communicator.abort();
  destroy(comm);
  return fails ? ncclSystemError : result;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const bool fails = standin::must_fail("ncclCommAbort");
  const auto lock = standin::enter();
  if (comm == nullptr) return ncclInvalidArgument;
  standin::check_handle(comm, "ncclCommAbort", "ncclComm_t");
  comm->communicator->abort();
  destroy(comm);
  return fails ? ncclSystemError : ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
    case ncclSystemError:
      return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    case ncclInternalError:
      return "internal error - please report this issue to the NCCL developers";
    case ncclInvalidArgument:
      return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage:
      return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  const auto lock = standin::enter();
  if (comm == nullptr) return "";
  standin::check_handle(comm, "ncclGetLastError", "ncclComm_t");
  return comm->communicator->last_error().c_str();
}
