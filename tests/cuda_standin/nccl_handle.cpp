#include "nccl_handle.h"

#include <string>
#include <utility>

#include "faults.h"
#include "scheduler.h"

namespace lockstep::standin::nccl {
namespace {

/// Whichever device is current: NCCL makes that of the communicator current for as long as it needs it.
ncclResult_t queue(const ncclComm::Launch& launch) {
  auto operation = launch.operation;
  if (is_capturing(launch.stream) != launch.recorded)
    violation(
        "NCCL: a capture was begun or ended before the call made in it had come from ncclInProgress to "
        "ncclSuccess");
  operation.set_recorded(launch.recorded);
  auto accesses = operation.accesses();
  const auto run = [operation = std::move(operation), stalls = launch.stalls]() mutable {
    return stalls ? operation.communicator().aborted() : operation.try_run();
  };
  const auto error = standin::queue(
      launch.stream, Work{.call = "NCCL operation", .accesses = std::move(accesses), .try_run = run});
  return error == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

}  // namespace

ncclResult_t usable(ncclComm_t comm, std::string_view call) {
  if (comm == nullptr) return ncclInvalidArgument;
  check_handle(comm, call, "ncclComm_t");
  const auto state = comm->launch ? ncclInProgress : comm->communicator->state();
  if (state == ncclInProgress)
    violation(std::string(call) + ": an earlier call on this communicator is still in progress");
  return state;
}

ncclResult_t launch(ncclComm_t comm, Operation operation, cudaStream_t stream) {
  const ncclComm::Launch launch{.operation = std::move(operation),
                                .stream = stream,
                                .recorded = is_capturing(stream),
                                .stalls = next_operation_stalls(),
                                .polls = static_cast<int>(1 + draw() % 3)};
  // Connections are made at first use, which takes a while.
  const bool waits = !comm->communicator->blocking() && (!comm->launched_before || draw() % 2 == 0);
  comm->launched_before = true;
  if (!waits) return queue(launch);
  comm->launch = launch;
  return ncclInProgress;
}

ncclResult_t continue_launch(ncclComm_t comm) {
  if (!comm->launch) return ncclSuccess;
  if (--comm->launch->polls > 0) return ncclInProgress;
  const auto result = queue(*comm->launch);
  comm->launch.reset();
  if (result != ncclSuccess) comm->communicator->fail(result, "the operation could not be queued");
  return result;
}

}  // namespace lockstep::standin::nccl
