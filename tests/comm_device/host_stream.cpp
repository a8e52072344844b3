#include "host_stream.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace lockstep::testing {
namespace {

constexpr std::size_t alignment = 256;
constexpr int poison = 0xFF;

class HostGraph final : public device::Graph {
 public:
  explicit HostGraph(std::vector<HostStream::Work> work) : work_(std::move(work)) {}
  void launch(device::Stream& stream) override {
    auto& host = dynamic_cast<HostStream&>(stream);
    for (const HostStream::Work& work : work_) host.run(work);
  }

 private:
  std::vector<HostStream::Work> work_;
};

/// Everything happens at once, so it is always reached.
class HostMilestone final : public device::Milestone {
 public:
  explicit HostMilestone(HostStream& stream) : stream_(stream) {}
  void set() override { stream_.synchronize(); }
  bool idle() override { return stream_.idle(); }
  void synchronize() override { stream_.synchronize(); }

 private:
  HostStream& stream_;
};

std::byte* new_bytes(std::int64_t bytes) {
  const std::size_t rounded = (static_cast<std::size_t>(bytes) + alignment) / alignment * alignment;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  if (data == nullptr) throw std::bad_alloc();
  std::memset(data, poison, rounded);
  return data;
}

}  // namespace

class HostMemory final : public device::Memory {
 public:
  HostMemory(std::shared_ptr<HostHeap> heap, std::byte* data, std::int64_t bytes)
      : Memory(data, bytes), heap_(std::move(heap)) {}
  ~HostMemory() override { heap_->release(data()); }

 private:
  std::shared_ptr<HostHeap> heap_;
};

std::unique_ptr<device::Memory> HostHeap::allocate(Kind kind, std::int64_t bytes) {
  check(bytes >= 0, "memory has a size");
  const std::lock_guard lock(mutex_);
  if (kind == Kind::device && bytes > free_bytes_)
    fail(ExitCode::internal, "host accelerator: {} bytes wanted, {} are free", bytes, free_bytes_);
  std::byte* data = new_bytes(bytes);
  places_[data] = {kind, bytes};
  if (kind == Kind::device) free_bytes_ -= bytes;
  return std::make_unique<HostMemory>(shared_from_this(), data, bytes);
}

void HostHeap::release(const std::byte* data) {
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(data);
  if (place->second.kind == Kind::device) free_bytes_ += place->second.bytes;
  places_.erase(place);
  std::free(const_cast<std::byte*>(data));  // NOLINT: from aligned_alloc
}

std::int64_t HostHeap::free_bytes() const {
  const std::lock_guard lock(mutex_);
  return free_bytes_;
}

bool HostHeap::holds(Kind kind, const void* data, std::int64_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto* first = static_cast<const std::byte*>(data);
  const auto place = places_.lower_bound(first);  // the last that begins at or before it
  return place != places_.end() && place->second.kind == kind &&
         first + bytes <= place->first + place->second.bytes;
}

void HostStream::run(Work work) {
  if (!recording_) return work();
  recording_->work.push_back(std::move(work));
  awaited_ = false;
}

void HostStream::copy_in(void* device, const void* pinned, std::int64_t bytes) {
  check(bytes == 0 || heap_->holds(HostHeap::Kind::pinned, pinned, bytes),
        "copy_in reads page-locked memory");
  check(bytes == 0 || heap_->holds(HostHeap::Kind::device, device, bytes), "copy_in writes device memory");
  run([=] { std::memcpy(device, pinned, static_cast<std::size_t>(bytes)); });
}

void HostStream::copy_out(void* pinned, const void* device, std::int64_t bytes) {
  check(bytes == 0 || heap_->holds(HostHeap::Kind::pinned, pinned, bytes),
        "copy_out writes page-locked memory");
  check(bytes == 0 || heap_->holds(HostHeap::Kind::device, device, bytes), "copy_out reads device memory");
  run([=] { std::memcpy(pinned, device, static_cast<std::size_t>(bytes)); });
}

void HostStream::copy(void* to, const void* from, std::int64_t bytes) {
  check(bytes == 0 || (heap_->holds(HostHeap::Kind::device, to, bytes) &&
                       heap_->holds(HostHeap::Kind::device, from, bytes)),
        "copy stays within device memory");
  run([=] { std::memmove(to, from, static_cast<std::size_t>(bytes)); });
}

void HostStream::clear(void* device, std::int64_t bytes) {
  check(bytes == 0 || heap_->holds(HostHeap::Kind::device, device, bytes), "clear writes device memory");
  run([=] { std::memset(device, 0, static_cast<std::size_t>(bytes)); });
}

void HostStream::wait_for(device::Stream& other) {
  auto& host = dynamic_cast<HostStream&>(other);
  if (!host.recording_) {
    check(!recording_, "a stream of a capture waits for streams of the capture only");
    return;
  }
  if (!recording_) {
    recording_ = host.recording_;
    recording_->streams.push_back(this);
    awaited_ = false;
  }
  check(recording_ == host.recording_, "two captures do not wait for each other");
  host.awaited_ = true;
  if (&host != this) awaited_ = false;
}

std::unique_ptr<device::Graph> HostStream::capture(const std::function<void()>& work) {
  check(!recording_, "a stream is captured once at a time");
  const auto recording = std::make_shared<Recording>();
  recording->streams.push_back(this);
  recording_ = recording;
  try {
    work();
  } catch (...) {
    end_recording();
    throw;
  }
  for (const HostStream* stream : recording->streams)
    check(stream == this || stream->awaited_, "what a capture forks off is waited for in the end");
  end_recording();
  return std::make_unique<HostGraph>(std::move(recording->work));
}

void HostStream::end_recording() {
  const std::shared_ptr<Recording> recording = recording_;
  for (HostStream* stream : recording->streams) stream->recording_.reset();
}

std::unique_ptr<device::Milestone> HostStream::make_milestone() {
  return std::make_unique<HostMilestone>(*this);
}

bool HostStream::idle() {
  check(!recording_, "a capture does not wait");
  return true;
}

void HostStream::synchronize() {
  check(!recording_, "a capture does not wait");
}

}  // namespace lockstep::testing
