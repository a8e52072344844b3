#include "device/cuda/stream.h"

#include <utility>

#include "base/check.h"
#include "device/cuda/error.h"
#include "device/cuda/handles.h"

namespace lockstep::device::cuda {
namespace {

class CudaStream;

class CudaGraph final : public Graph {
 public:
  CudaGraph(int device, GraphExec exec) : device_(device), exec_(std::move(exec)) {}
  void launch(Stream& stream) override {
    use_device(device_);
    call(cudaGraphLaunch(exec_.get(), native(stream)), "cudaGraphLaunch");
  }

 private:
  int device_;
  GraphExec exec_;
};

/// Ends a capture that is given up, without a further complaint.
void drop_capture(cudaStream_t stream) noexcept {
  cudaGraph_t graph = nullptr;
  static_cast<void>(cudaStreamEndCapture(stream, &graph));
  if (graph) static_cast<void>(cudaGraphDestroy(graph));
  static_cast<void>(cudaGetLastError());
}

/// What a query says.
bool is_done(cudaError_t status, std::string_view function) {
  if (status == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // it counts as an error there
    return false;
  }
  call(status, function);
  return true;
}

class CudaMilestone final : public Milestone {
 public:
  CudaMilestone(int device, cudaStream_t stream) : device_(device), stream_(stream) {
    use_device(device);
    cudaEvent_t event = nullptr;
    call(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    event_.reset(event);
  }

  void set() override {
    use_device(device_);
    call(cudaEventRecord(event_.get(), stream_), "cudaEventRecord");
  }
  bool idle() override {
    use_device(device_);
    return is_done(cudaEventQuery(event_.get()), "cudaEventQuery");
  }
  void synchronize() override {
    use_device(device_);
    call(cudaEventSynchronize(event_.get()), "cudaEventSynchronize");
  }

 private:
  int device_;
  cudaStream_t stream_;
  EventHandle event_;
};

class CudaStream final : public Stream {
 public:
  explicit CudaStream(int device) : device_(device) {
    use_device(device);
    // Non-blocking: the legacy default stream, which nothing here uses, would wait for the others.
    cudaStream_t stream = nullptr;
    call(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    stream_.reset(stream);
    cudaEvent_t event = nullptr;
    call(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    given_.reset(event);
  }

  [[nodiscard]] cudaStream_t get() const { return stream_.get(); }

  void copy_in(void* device, const void* pinned, std::int64_t bytes) override {
    transfer(device, pinned, bytes, cudaMemcpyHostToDevice);
  }
  void copy_out(void* pinned, const void* device, std::int64_t bytes) override {
    transfer(pinned, device, bytes, cudaMemcpyDeviceToHost);
  }
  void copy(void* to, const void* from, std::int64_t bytes) override {
    transfer(to, from, bytes, cudaMemcpyDeviceToDevice);
  }

  void clear(void* device, std::int64_t bytes) override {
    if (bytes == 0) return;
    use_device(device_);
    call(cudaMemsetAsync(device, 0, static_cast<std::size_t>(bytes), get()), "cudaMemsetAsync");
  }

  void wait_for(Stream& other) override {
    auto& source = dynamic_cast<CudaStream&>(other);
    use_device(source.device_);
    call(cudaEventRecord(source.given_.get(), source.get()), "cudaEventRecord");
    use_device(device_);
    // What counts is the record above: the event may be recorded again before this wait is over.
    call(cudaStreamWaitEvent(get(), source.given_.get(), 0), "cudaStreamWaitEvent");
  }

  std::unique_ptr<Graph> capture(const std::function<void()>& work) override {
    use_device(device_);
    // Thread-local: other threads may allocate meanwhile.
    call(cudaStreamBeginCapture(get(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    try {
      work();
      use_device(device_);
    } catch (...) {
      drop_capture(get());
      throw;
    }
    cudaGraph_t recorded = nullptr;
    const cudaError_t status = cudaStreamEndCapture(get(), &recorded);
    const GraphHandle graph(recorded);
    call(status, "cudaStreamEndCapture");
    cudaGraphExec_t exec = nullptr;
    call(cudaGraphInstantiate(&exec, graph.get(), 0), "cudaGraphInstantiate");
    return std::make_unique<CudaGraph>(device_, GraphExec(exec));
  }

  std::unique_ptr<Milestone> make_milestone() override {
    return std::make_unique<CudaMilestone>(device_, get());
  }

  bool idle() override {
    use_device(device_);
    return is_done(cudaStreamQuery(get()), "cudaStreamQuery");
  }

  void synchronize() override {
    use_device(device_);
    call(cudaStreamSynchronize(get()), "cudaStreamSynchronize");
  }

 private:
  void transfer(void* to, const void* from, std::int64_t bytes, cudaMemcpyKind kind) const {
    if (bytes == 0) return;
    use_device(device_);
    call(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), kind, get()), "cudaMemcpyAsync");
  }

  int device_;
  StreamHandle stream_;
  EventHandle given_;  ///< recorded when another stream is to wait for what this one has been given
};

}  // namespace

cudaStream_t native(Stream& stream) {
  auto* const known = dynamic_cast<CudaStream*>(&stream);
  check(known != nullptr, "a CUDA accelerator works on its own streams");
  return known->get();
}

std::unique_ptr<Stream> make_stream(int device) {
  return std::make_unique<CudaStream>(device);
}

}  // namespace lockstep::device::cuda
