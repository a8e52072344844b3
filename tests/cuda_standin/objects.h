#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <thread>
#include <unordered_set>
#include <vector>

#include "scheduler.h"

/// What the handles of the CUDA runtime stand for.
namespace lockstep::standin {

/// One recorded operation. It comes after those of `after`, indices of earlier nodes.
struct Node {
  std::shared_ptr<const Work> work;
  std::vector<std::size_t> after;
  std::size_t lane =
      0;  ///< which of the recording's streams it was queued on; 0 is where the recording began
  int device = 0;
};

struct Recording {
  std::vector<Node> nodes;
  std::size_t lanes = 0;
};

/// A capture, from cudaStreamBeginCapture to cudaStreamEndCapture.
struct Capture {
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  Recording recording;
  std::vector<cudaStream_t> streams;  ///< that take part
  bool invalid = false;
  bool ended = false;
};

}  // namespace lockstep::standin

struct CUstream_st {
  int device = 0;
  std::shared_ptr<lockstep::standin::Lane> lane;
  lockstep::standin::OperationPtr last;
  std::shared_ptr<lockstep::standin::Capture> capture;  ///< null: not capturing
  std::vector<std::size_t> front;  ///< nodes that the next recorded operation comes after
  std::size_t capture_lane = 0;
};

struct CUevent_st {
  int device = 0;
  bool timed = true;
  lockstep::standin::OperationPtr record;               ///< the last record; null: never recorded
  std::shared_ptr<lockstep::standin::Capture> capture;  ///< not null: last recorded in a capture
  std::vector<std::size_t> front;
};

struct CUgraph_st {
  std::shared_ptr<const lockstep::standin::Recording> recording;
};

struct CUgraphExec_st {
  std::shared_ptr<const lockstep::standin::Recording> recording;
  std::vector<std::shared_ptr<lockstep::standin::Lane>> lanes;  ///< but 0, which is the stream's of a launch
  lockstep::standin::OperationPtr last;                         ///< the end of the last launch
};

namespace lockstep::standin {

/// The live objects of one kind, so that a handle that is none is noticed.
template <class Object>
class Handles {
 public:
  static Handles& instance() {
    static auto* const handles = new Handles;
    return *handles;
  }
  Object* create(const char* kind) {
    auto* object = new Object;
    live_.insert(object);
    handle_created(kind);
    return object;
  }
  void destroy(Object* object, const char* kind) {
    live_.erase(object);
    delete object;
    handle_destroyed(kind);
  }
  [[nodiscard]] bool contains(Object* object) const { return live_.contains(object); }
  [[nodiscard]] const std::unordered_set<Object*>& all() const { return live_; }

 private:
  std::unordered_set<Object*> live_;
};

/// violation() unless the handle is live.
template <class Object>
void check_handle(Object* object, std::string_view call, std::string_view kind) {
  if (!Handles<Object>::instance().contains(object)) {
    violation(std::string(call) + ": this is not a live " + std::string(kind));
  }
}

/// Queues work on the stream behind what it has already, or records it. For work of the runtime itself, which
/// may be of any thread's current device. An error if the stream's capture is invalid.
[[nodiscard]] cudaError_t queue(cudaStream_t stream, Work work);
/// Queues on a stream that is not capturing, after `also` besides.
OperationPtr queue_after(cudaStream_t stream, std::shared_ptr<const Work> work,
                         std::vector<OperationPtr> also);

// Stream capture, in capture.cpp.
void join_capture(cudaStream_t stream, const std::shared_ptr<Capture>& capture);
/// cudaStreamWaitEvent for an event that was recorded in a capture.
[[nodiscard]] cudaError_t wait_captured(cudaStream_t stream, cudaEvent_t event);
[[nodiscard]] cudaError_t end_capture(cudaStream_t stream, cudaGraph_t* graph);

}  // namespace lockstep::standin
