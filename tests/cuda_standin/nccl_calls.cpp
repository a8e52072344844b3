#include <utility>

#include "nccl_handle.h"

// The functions that move data, and groups of them.

namespace standin = lockstep::standin;
using standin::nccl::Operation;
using standin::nccl::Parcel;
using standin::nccl::usable;

namespace {

/// Of one thread. The stand-in takes groups as Lockstep makes them: for one communicator and one stream.
struct Group {
  int depth = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  std::optional<Operation> operation;
  ncclResult_t error = ncclSuccess;  ///< of a call within it, which ncclGroupEnd reports, too
};
thread_local Group group;

ncclResult_t end_group() {
  auto ended = std::exchange(group, {});
  if (ended.error != ncclSuccess || !ended.operation) return ended.error;
  return launch(ended.comm, std::move(*ended.operation), ended.stream);
}

/// A call that fails makes its group fail.
ncclResult_t refuse(ncclResult_t error) {
  if (group.depth > 0) group.error = error;
  return error;
}

/// A call: a group of its own, unless it is made within one.
template <class Add>
ncclResult_t add_to_group(const char* call, ncclComm_t comm, cudaStream_t stream, Add add) {
  if (group.comm == nullptr) {
    if (const auto result = usable(comm, call); result != ncclSuccess) return refuse(result);
    if (comm->communicator->finalized())
      standin::violation(std::string(call) + ": the communicator was finalized");
    standin::check_stream_of(comm->communicator->device(), stream, call);
    group.comm = comm;
    group.stream = stream;
    group.operation.emplace(comm->communicator);
  }
  if (group.comm != comm || group.stream != stream)
    standin::violation(std::string(call) +
                       ": a group for several communicators or streams, which the stand-in lacks");
  const ncclResult_t result = add(*group.operation);
  if (result != ncclSuccess) group.error = result;
  if (group.depth > 0) return result;
  return end_group();
}

bool valid(int type, int peer, ncclComm_t comm) {
  return type >= 0 && type < ncclNumTypes && peer >= 0 && peer < comm->communicator->ranks();
}

}  // namespace

ncclResult_t ncclGroupStart() {
  if (standin::must_fail("ncclGroupStart")) return ncclInternalError;
  ++group.depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  const bool fails = standin::must_fail("ncclGroupEnd");
  const auto lock = standin::enter();
  if (group.depth == 0) return ncclInvalidUsage;
  if (fails && group.error == ncclSuccess) group.error = ncclUnhandledCudaError;
  if (--group.depth > 0) return ncclSuccess;
  return end_group();
}

ncclResult_t ncclSend(const void* sendbuff, std::size_t count, ncclDataType_t datatype, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  if (standin::must_fail("ncclSend")) return refuse(ncclUnhandledCudaError);
  const auto lock = standin::enter();
  return add_to_group("ncclSend", comm, stream, [&](Operation& operation) {
    if (!valid(datatype, peer, comm) || (sendbuff == nullptr && count > 0)) return ncclInvalidArgument;
    operation.send(sendbuff, {Parcel::Use::message, datatype, count}, peer);
    return ncclSuccess;
  });
}

ncclResult_t ncclRecv(void* recvbuff, std::size_t count, ncclDataType_t datatype, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  if (standin::must_fail("ncclRecv")) return refuse(ncclUnhandledCudaError);
  const auto lock = standin::enter();
  return add_to_group("ncclRecv", comm, stream, [&](Operation& operation) {
    if (!valid(datatype, peer, comm) || (recvbuff == nullptr && count > 0)) return ncclInvalidArgument;
    operation.receive(recvbuff, {Parcel::Use::message, datatype, count}, peer);
    return ncclSuccess;
  });
}

ncclResult_t ncclAllReduce(const void* sendbuff, void* recvbuff, std::size_t count, ncclDataType_t datatype,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  if (standin::must_fail("ncclAllReduce")) return refuse(ncclUnhandledCudaError);
  const auto lock = standin::enter();
  return add_to_group("ncclAllReduce", comm, stream, [&](Operation& operation) {
    if (datatype != ncclFloat32 || op != ncclSum)
      standin::violation("ncclAllReduce: the stand-in adds up floats and does nothing else");
    if ((sendbuff == nullptr || recvbuff == nullptr) && count > 0) return ncclInvalidArgument;
    operation.all_reduce(static_cast<const float*>(sendbuff), static_cast<float*>(recvbuff),
                         static_cast<std::int64_t>(count));
    return ncclSuccess;
  });
}
