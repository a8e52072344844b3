#include <utility>

#include "api.h"
#include "objects.h"

using namespace lockstep::standin;

namespace {

/// Queues all nodes, between two operations of the stream that nothing else of this graph can pass. Launches
/// of one executable graph never overlap.
void launch(CUgraphExec_st& executable, cudaStream_t stream) {
  Scheduler& scheduler = Scheduler::instance();
  const auto first =
      std::make_shared<const Work>(Work{.call = "cudaGraphLaunch", .stalls = next_operation_stalls()});
  const OperationPtr begin = queue_after(stream, first, {executable.last});
  std::vector<OperationPtr> operations;
  operations.reserve(executable.recording->nodes.size());
  for (const Node& node : executable.recording->nodes) {
    std::vector<OperationPtr> after = {begin};
    for (const std::size_t before : node.after) after.push_back(operations[before]);
    const auto& lane = node.lane == 0 ? stream->lane : executable.lanes[node.lane - 1];
    operations.push_back(scheduler.add(node.work, lane, node.device, std::move(after)));
  }
  const auto last = std::make_shared<const Work>(Work{.call = "end of a graph"});
  executable.last = queue_after(stream, last, std::move(operations));
}

}  // namespace

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return api("cudaStreamBeginCapture", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaStreamBeginCapture");
    if (stream->capture) return cudaErrorIllegalState;
    auto capture = std::make_shared<Capture>();
    capture->origin = stream;
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    join_capture(stream, capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* pGraph) {
  // Ends the capture even if it fails.
  const bool fails = fails_on_purpose("cudaStreamEndCapture");
  const auto lock = enter();
  check_stream(stream, "cudaStreamEndCapture");
  const cudaError_t result = end_capture(stream, pGraph);
  if (result != cudaSuccess || (!fails && !device_has_failed())) return report(result);
  Handles<CUgraph_st>::instance().destroy(std::exchange(*pGraph, nullptr), "cudaGraph_t");
  return report(fails ? cudaErrorUnknown : cudaErrorLaunchFailure);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* pCaptureStatus) {
  return api("cudaStreamIsCapturing", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaStreamIsCapturing");
    *pCaptureStatus = !stream->capture           ? cudaStreamCaptureStatusNone
                      : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                                 : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* pGraphExec, cudaGraph_t graph, unsigned long long flags) {
  return api("cudaGraphInstantiate", cudaErrorMemoryAllocation, [&] {
    check_handle(graph, "cudaGraphInstantiate", "cudaGraph_t");
    if (flags != 0) return cudaErrorInvalidValue;
    *pGraphExec = Handles<CUgraphExec_st>::instance().create("cudaGraphExec_t");
    (*pGraphExec)->recording = graph->recording;
    for (std::size_t i = 1; i < graph->recording->lanes; ++i) {
      (*pGraphExec)->lanes.push_back(Scheduler::instance().make_lane());
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream) {
  return api("cudaGraphLaunch", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaGraphLaunch");
    check_handle(graphExec, "cudaGraphLaunch", "cudaGraphExec_t");
    if (stream->capture) violation("cudaGraphLaunch: graphs within graphs are not imitated");
    launch(*graphExec, stream);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec) {
  return destroying_api("cudaGraphExecDestroy", [&] {
    check_handle(graphExec, "cudaGraphExecDestroy", "cudaGraphExec_t");
    if (graphExec->last && !graphExec->last->done && !device_has_failed()) {
      violation("cudaGraphExecDestroy: a launch of the graph is not done");
    }
    Handles<CUgraphExec_st>::instance().destroy(graphExec, "cudaGraphExec_t");
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return destroying_api("cudaGraphDestroy", [&] {
    check_handle(graph, "cudaGraphDestroy", "cudaGraph_t");
    Handles<CUgraph_st>::instance().destroy(graph, "cudaGraph_t");
    return cudaSuccess;
  });
}

}  // extern "C"
