#include "comm/nccl_communicator.h"

#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <span>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "comm/nccl_version.h"
#include "comm/poll_together.h"
#include "device/cuda/error.h"

namespace lockstep::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds connecting_limit{120};
constexpr std::chrono::seconds parting_limit{20};
/// A rank that is gone has failed, says why, and ends the job: the others hold back what they make of it.
constexpr std::chrono::seconds others_first{3};

/// NCCL has texts for its codes, but no names.
std::string_view name_of(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "ncclSuccess";
    case ncclUnhandledCudaError:
      return "ncclUnhandledCudaError";
    case ncclSystemError:
      return "ncclSystemError";
    case ncclInternalError:
      return "ncclInternalError";
    case ncclInvalidArgument:
      return "ncclInvalidArgument";
    case ncclInvalidUsage:
      return "ncclInvalidUsage";
    case ncclRemoteError:
      return "ncclRemoteError";
    case ncclInProgress:
      return "ncclInProgress";
    default:
      return "a code that is new";
  }
}

/// What NCCL says, in one line.
std::string description_of(ncclResult_t result, ncclComm_t communicator) {
  std::string text = ncclGetErrorString(result);
  const char* detail = ncclGetLastError(communicator);
  if (detail != nullptr && *detail != '\0') text += fmt::format(": {}", detail);
  for (char& c : text)
    if (c == '\n') c = ' ';
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

/// From src/ on, where the compiler was given more.
std::string_view file_of(const std::source_location& where) {
  const std::string_view path = where.file_name();
  const std::size_t source = path.rfind("src/");
  return source == std::string_view::npos ? path : path.substr(source);
}

}  // namespace

NcclCommunicator::NcclCommunicator(World& world, int device)
    : device_(device), exceptions_before_(std::uncaught_exceptions()) {
  try {
    connect(world);
  } catch (...) {
    abort();  // there are no graphs yet
    if (aborted_.valid()) aborted_.wait_for(parting_limit);
    throw;
  }
  rank_ = fmt::format("rank {} on {}: ", world.rank(), world.hosts()[static_cast<std::size_t>(world.rank())]);
}

NcclCommunicator::~NcclCommunicator() {
  try {
    if (std::uncaught_exceptions() > exceptions_before_)
      abort();
    else if (communicator_ != nullptr)
      part();
  } catch (const std::exception& error) {
    log::write_warning(error.what());
    abort();
  }
  if (aborted_.valid() && aborted_.wait_for(parting_limit) != std::future_status::ready)
    log::write_warning(
        fmt::format("{}NCCL: ncclCommAbort is not done after {} s", rank_, parting_limit.count()));
}

/// The id says where rank 0 listens; MPI takes it to the others. From then on a rank that fails would leave
/// the others waiting, so all of them ask each other how it goes.
void NcclCommunicator::connect(World& world) {
  ncclUniqueId id{};
  world.agree([&] {
    device::cuda::use_device(device_);
    if (world.is_root()) require(ncclGetUniqueId(&id), "ncclGetUniqueId");
  });
  world.broadcast_into(std::as_writable_bytes(std::span(&id, 1)));

  bool asked = false;
  poll_together(world, "connecting the ranks with NCCL", connecting_limit, [&] {
    if (!asked) {
      asked = true;
      ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
      config.blocking = 0;
      require(ncclCommInitRankConfig(&communicator_, world.size(), id, world.rank(), &config),
              "ncclCommInitRankConfig");
    }
    return is_settled();
  });
}

void NcclCommunicator::part() {
  operation_ = "parting";
  device::cuda::use_device(device_);
  require(ncclCommFinalize(communicator_), "ncclCommFinalize");
  const Clock::time_point end = Clock::now() + parting_limit;
  while (!is_settled()) {
    if (Clock::now() >= end)
      fail(ExitCode::internal, "{}NCCL: ncclCommFinalize is not done after {} s", rank_,
           parting_limit.count());
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  ncclComm_t communicator = std::exchange(communicator_, nullptr);
  require(ncclCommDestroy(communicator), "ncclCommDestroy");
}

void NcclCommunicator::abort() noexcept {
  if (communicator_ == nullptr) return;
  const auto drop = [communicator = std::exchange(communicator_, nullptr), device = device_] {
    try {
      device::cuda::use_device(device);
      const ncclResult_t result = ncclCommAbort(communicator);
      if (result != ncclSuccess && result != ncclInProgress)
        device::cuda::note_failure("NCCL", "ncclCommAbort", ncclGetErrorString(result));
    } catch (const Error& error) {
      log::write_warning(error.what());
    }
  };
  try {
    // ncclCommAbort tells what runs to stop, and then waits for the last graph to go, which is this thread's.
    std::promise<void> done;
    std::future<void> aborted = done.get_future();
    std::thread([drop, done = std::move(done)]() mutable {
      drop();
      done.set_value();
    }).detach();
    aborted_ = std::move(aborted);
  } catch (const std::system_error&) {
    drop();
  }
}

void NcclCommunicator::require(ncclResult_t result, std::string_view function, std::source_location where) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  if (result == ncclRemoteError) std::this_thread::sleep_for(others_first);
  fail(ExitCode::internal, "{}NCCL: {} in {} failed: {} ({}) at {}:{}", rank_, function, operation_,
       description_of(result, communicator_), name_of(result), file_of(where), where.line());
}

bool NcclCommunicator::is_settled(std::source_location where) {
  check(communicator_ != nullptr, "a communicator that was given up is not used any more");
  ncclResult_t state = ncclSuccess;
  require(ncclCommGetAsyncError(communicator_, &state), "ncclCommGetAsyncError", where);
  if (state == ncclRemoteError) std::this_thread::sleep_for(others_first);
  if (state != ncclSuccess && state != ncclInProgress)
    fail(ExitCode::internal, "{}NCCL: {} failed: {} ({}) at {}:{}", rank_, operation_,
         description_of(state, communicator_), name_of(state), file_of(where), where.line());
  return state == ncclSuccess;
}

void NcclCommunicator::look(std::string_view operation) {
  operation_ = operation;
  static_cast<void>(is_settled());
}

void NcclCommunicator::begin(std::string_view operation) {
  check(communicator_ != nullptr, "a communicator that was given up is not used any more");
  operation_ = operation;
  device::cuda::use_device(device_);
  require(ncclGroupStart(), "ncclGroupStart");
  in_group_ = true;
}

void NcclCommunicator::end() {
  in_group_ = false;
  require(ncclGroupEnd(), "ncclGroupEnd");
}

/// What fails meanwhile is no news.
void NcclCommunicator::drop_group() noexcept {
  if (std::exchange(in_group_, false)) static_cast<void>(ncclGroupEnd());
}

void NcclCommunicator::send(const float* data, std::int64_t count, int to, cudaStream_t stream) {
  require(ncclSend(data, static_cast<std::size_t>(count), ncclFloat, to, communicator_, stream), "ncclSend");
}

void NcclCommunicator::receive(float* data, std::int64_t count, int from, cudaStream_t stream) {
  require(ncclRecv(data, static_cast<std::size_t>(count), ncclFloat, from, communicator_, stream),
          "ncclRecv");
}

void NcclCommunicator::all_reduce(float* values, std::int64_t count, cudaStream_t stream) {
  require(ncclAllReduce(values, values, static_cast<std::size_t>(count), ncclFloat, ncclSum, communicator_,
                        stream),
          "ncclAllReduce");
}

std::string nccl_version() {
  int version = 0;
  if (const ncclResult_t result = ncclGetVersion(&version); result != ncclSuccess)
    fail(ExitCode::internal, "NCCL: ncclGetVersion failed: {}", ncclGetErrorString(result));
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace lockstep::comm
