#include <chrono>

#include "api.h"
#include "objects.h"

using namespace lockstep::standin;

extern "C" {

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  return api("cudaEventCreateWithFlags", cudaErrorUnknown, [&] {
    if ((flags & ~static_cast<unsigned>(cudaEventBlockingSync | cudaEventDisableTiming)) != 0) {
      return cudaErrorInvalidValue;
    }
    *event = Handles<CUevent_st>::instance().create("cudaEvent_t");
    (*event)->device = current_device();
    (*event)->timed = (flags & cudaEventDisableTiming) == 0;
    return cudaSuccess;
  });
}

// Streams that wait for it go on doing so.
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return destroying_api("cudaEventDestroy", [&] {
    check_handle(event, "cudaEventDestroy", "cudaEvent_t");
    Handles<CUevent_st>::instance().destroy(event, "cudaEvent_t");
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return api("cudaEventRecord", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaEventRecord");
    check_handle(event, "cudaEventRecord", "cudaEvent_t");
    if (event->device != stream->device)
      violation("cudaEventRecord: event and stream are of different devices");
    if (stream->capture) {
      if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
      event->record = nullptr;
      event->capture = stream->capture;
      event->front = stream->front;
      return cudaSuccess;
    }
    event->capture = nullptr;
    event->record = queue_after(stream, std::make_shared<const Work>(Work{.call = "cudaEventRecord"}), {});
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return api("cudaEventQuery", cudaErrorUnknown, [&] {
    check_handle(event, "cudaEventQuery", "cudaEvent_t");
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    if (event->capture) return cudaErrorCapturedEvent;
    return Scheduler::instance().query(event->record);
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api("cudaEventSynchronize", cudaErrorUnknown, [&] {
    check_handle(event, "cudaEventSynchronize", "cudaEvent_t");
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    if (event->capture) return cudaErrorCapturedEvent;
    Scheduler::instance().finish(event->record);
    return device_has_failed() ? cudaErrorLaunchFailure : cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return api("cudaEventElapsedTime", cudaErrorUnknown, [&] {
    check_handle(start, "cudaEventElapsedTime", "cudaEvent_t");
    check_handle(end, "cudaEventElapsedTime", "cudaEvent_t");
    if (!start->timed || !end->timed || !start->record || !end->record) return cudaErrorInvalidResourceHandle;
    if (!start->record->done || !end->record->done) return cudaErrorNotReady;
    *ms = std::chrono::duration<float, std::milli>(end->record->finished - start->record->finished).count();
    return cudaSuccess;
  });
}

}  // extern "C"
