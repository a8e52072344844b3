#include "api.h"
#include "objects.h"

using namespace lockstep::standin;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* pStream, unsigned int flags) {
  return api("cudaStreamCreateWithFlags", cudaErrorUnknown, [&] {
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *pStream = Handles<CUstream_st>::instance().create("cudaStream_t");
    (*pStream)->device = current_device();
    (*pStream)->lane = Scheduler::instance().make_lane();
    return cudaSuccess;
  });
}

// What is queued on it is done all the same.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return destroying_api("cudaStreamDestroy", [&] {
    check_stream(stream, "cudaStreamDestroy");
    if (stream->capture) violation("cudaStreamDestroy: the stream is capturing");
    Handles<CUstream_st>::instance().destroy(stream, "cudaStream_t");
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return api("cudaStreamSynchronize", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaStreamSynchronize");
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    Scheduler::instance().finish(stream->last);
    return device_has_failed() ? cudaErrorLaunchFailure : cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return api("cudaStreamQuery", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaStreamQuery");
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    return Scheduler::instance().query(stream->last);
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
  return api("cudaStreamWaitEvent", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaStreamWaitEvent");
    check_handle(event, "cudaStreamWaitEvent", "cudaEvent_t");
    if (flags != cudaEventWaitDefault) return cudaErrorInvalidValue;
    if (event->capture) return wait_captured(stream, event);
    if (stream->capture) {
      stream->capture->invalid = true;
      return cudaErrorStreamCaptureIsolation;
    }
    if (event->record)
      queue_after(stream, std::make_shared<const Work>(Work{.call = "cudaStreamWaitEvent"}), {event->record});
    return cudaSuccess;
  });
}

}  // extern "C"
