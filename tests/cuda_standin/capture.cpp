#include <algorithm>
#include <utility>

#include "api.h"
#include "objects.h"

namespace lockstep::standin {

cudaError_t refuse_while_capturing() {
  bool refused = false;
  for (const cudaStream_t stream : Handles<CUstream_st>::instance().all()) {
    if (!stream->capture) continue;
    Capture& capture = *stream->capture;
    const bool own = capture.thread == std::this_thread::get_id();
    if (own ? capture.mode == cudaStreamCaptureModeRelaxed : capture.mode != cudaStreamCaptureModeGlobal)
      continue;
    capture.invalid = true;
    refused = true;
  }
  return refused ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

void join_capture(cudaStream_t stream, const std::shared_ptr<Capture>& capture) {
  stream->capture = capture;
  stream->front.clear();
  stream->capture_lane = capture->recording.lanes++;
  capture->streams.push_back(stream);
}

cudaError_t wait_captured(cudaStream_t stream, cudaEvent_t event) {
  Capture& capture = *event->capture;
  if (capture.ended) return cudaErrorCapturedEvent;
  if (capture.invalid) return cudaErrorStreamCaptureInvalidated;
  if (stream->capture && stream->capture != event->capture) {
    stream->capture->invalid = true;
    capture.invalid = true;
    return cudaErrorStreamCaptureMerge;
  }
  if (!stream->capture) join_capture(stream, event->capture);
  for (const std::size_t node : event->front) {
    if (std::find(stream->front.begin(), stream->front.end(), node) == stream->front.end()) {
      stream->front.push_back(node);
    }
  }
  return cudaSuccess;
}

namespace {

/// Whether all that was recorded comes before what the stream would record next.
bool all_joined(const Capture& capture, cudaStream_t stream) {
  const auto& nodes = capture.recording.nodes;
  std::vector<bool> joined(nodes.size());
  for (const std::size_t node : stream->front) joined[node] = true;
  for (std::size_t i = nodes.size(); i-- > 0;) {
    if (!joined[i]) return false;
    for (const std::size_t before : nodes[i].after) joined[before] = true;
  }
  return true;
}

}  // namespace

cudaError_t end_capture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::shared_ptr<Capture> capture = stream->capture;
  *graph = nullptr;
  if (!capture) return cudaErrorInvalidValue;
  if (capture->origin != stream) {
    capture->invalid = true;
    return cudaErrorStreamCaptureUnmatched;
  }
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  const bool joined = all_joined(*capture, stream);
  for (const cudaStream_t member : capture->streams) {
    member->capture = nullptr;
    member->front.clear();
  }
  capture->ended = true;
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  *graph = Handles<CUgraph_st>::instance().create("cudaGraph_t");
  (*graph)->recording = std::make_shared<const Recording>(std::move(capture->recording));
  return cudaSuccess;
}

}  // namespace lockstep::standin
