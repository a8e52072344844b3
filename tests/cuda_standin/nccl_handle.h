#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "library.h"
#include "nccl_operation.h"

/// What a communicator's handle stands for. Calls on a communicator that does not block return ncclInProgress
/// now and then, as NCCL's may: what they were to queue is queued while the caller polls
/// ncclCommGetAsyncError.
struct ncclComm {
  struct Launch {
    lockstep::standin::nccl::Operation operation;
    cudaStream_t stream;
    bool recorded;  ///< the stream was capturing when the call was made
    bool stalls;    ///< a test asked that it is never done
    int polls;      ///< until it gets there
  };

  std::shared_ptr<lockstep::standin::nccl::Communicator> communicator;
  std::optional<Launch> launch;
  bool launched_before = false;
};

namespace lockstep::standin::nccl {

/// Success, ncclInvalidArgument for no communicator, or the error that the communicator has. violation() for
/// a handle that is none, or one that a call is still in progress on.
ncclResult_t usable(ncclComm_t comm, std::string_view call);

/// Queues an operation, at once or in a while.
ncclResult_t launch(ncclComm_t comm, Operation operation, cudaStream_t stream);
/// Goes on with launch(); ncclInProgress until it is queued.
ncclResult_t continue_launch(ncclComm_t comm);

}  // namespace lockstep::standin::nccl
