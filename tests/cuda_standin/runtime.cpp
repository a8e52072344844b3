#include "runtime.h"

#include <chrono>
#include <thread>
#include <utility>

#include "api.h"
#include "control.h"
#include "launch_impl.h"
#include "objects.h"
#include "scheduler.h"
#include "settings.h"

namespace lockstep::standin {

void Mutex::lock() {
  if (owner_ != std::this_thread::get_id()) {
    mutex_.lock();
    owner_ = std::this_thread::get_id();
  }
  ++depth_;
}

void Mutex::unlock() {
  if (--depth_ > 0) return;
  Memory::instance().hide();
  owner_ = std::thread::id();
  mutex_.unlock();
}

void Mutex::pause() {
  const int depth = std::exchange(depth_, 1);
  unlock();
  std::this_thread::sleep_for(std::chrono::microseconds(50));
  lock();
  depth_ = depth;
}

Mutex& mutex() {
  static auto* const instance = new Mutex;
  return *instance;
}

std::unique_lock<Mutex> enter() {
  std::unique_lock lock(mutex());
  Scheduler::instance().maybe_run();
  return lock;
}

void advance() {
  Scheduler::instance().maybe_run();
}

std::uint64_t draw() {
  return Scheduler::instance().draw();
}

std::int64_t pending_operations() {
  const std::lock_guard lock(mutex());
  return Scheduler::instance().pending();
}

bool is_linked() {
  return true;
}

void configure(std::string_view text) {
  const std::lock_guard lock(mutex());
  // What a failed device has left in its queues does nothing any more.
  for (int device = 0; device_has_failed() && device < settings().devices; ++device)
    Scheduler::instance().finish_device(device);
  if (Scheduler::instance().pending() > 0) violation("configure() while operations are queued");
  set_settings(text);
  reset_faults();
  Scheduler::instance().seed(settings().seed);
}

void check_stream(cudaStream_t stream, std::string_view call) {
  if (stream == nullptr) violation(std::string(call) + ": the default stream synchronizes with others");
  check_handle(stream, call, "cudaStream_t");
}

int stream_device(cudaStream_t stream) {
  return stream->device;
}

bool is_capturing(cudaStream_t stream) {
  return stream->capture != nullptr;
}

OperationPtr queue_after(cudaStream_t stream, std::shared_ptr<const Work> work,
                         std::vector<OperationPtr> also) {
  also.push_back(stream->last);
  stream->last = Scheduler::instance().add(std::move(work), stream->lane, stream->device, std::move(also));
  return stream->last;
}

cudaError_t queue(cudaStream_t stream, Work work) {
  for (const Access& access : work.accesses) {
    const std::string problem = Memory::instance().problem(stream->device, access.address, access.bytes);
    if (!problem.empty()) violation(work.call + ": " + problem);
  }
  work.stalls = next_operation_stalls();
  auto shared = std::make_shared<const Work>(std::move(work));
  if (!stream->capture) {
    queue_after(stream, std::move(shared), {});
    return cudaSuccess;
  }
  if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
  auto& nodes = stream->capture->recording.nodes;
  const std::size_t node = nodes.size();
  nodes.push_back(
      {std::move(shared), std::exchange(stream->front, {node}), stream->capture_lane, stream->device});
  return cudaSuccess;
}

namespace {

void queue_checked(cudaStream_t stream, Work work) {
  check_stream(stream, work.call);
  if (current_device() != stream->device) {
    violation(work.call + ": the stream is of device " + std::to_string(stream->device) +
              ", the current device is " + std::to_string(current_device()));
  }
  report(queue(stream, std::move(work)));
}

}  // namespace

void enqueue(cudaStream_t stream, std::string_view call, std::vector<Access> accesses,
             std::function<void()> work) {
  queue_checked(stream, {std::string(call), std::move(accesses), std::move(work), nullptr});
}

void enqueue_pollable(cudaStream_t stream, std::string_view call, std::vector<Access> accesses,
                      std::function<bool()> try_work) {
  queue_checked(stream, {std::string(call), std::move(accesses), nullptr, std::move(try_work)});
}

}  // namespace lockstep::standin
