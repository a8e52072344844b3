#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "device/accelerator.h"

/// Memory and streams of an accelerator that is none: everything happens at once, in host memory.
namespace lockstep::testing {

/// What is allocated, to tell page-locked memory, device memory and anything else apart.
class HostHeap : public std::enable_shared_from_this<HostHeap> {
 public:
  enum class Kind : bool { device, pinned };

  explicit HostHeap(std::int64_t device_bytes) : free_bytes_(device_bytes) {}

  /// Filled with bytes that are NaN as floats. Error(internal) if more of the device is wanted than is free.
  std::unique_ptr<device::Memory> allocate(Kind kind, std::int64_t bytes);
  [[nodiscard]] std::int64_t free_bytes() const;
  /// Whether all of this lies in one allocation of that kind.
  [[nodiscard]] bool holds(Kind kind, const void* data, std::int64_t bytes) const;

 private:
  friend class HostMemory;
  struct Place {
    Kind kind;
    std::int64_t bytes;
  };

  void release(const std::byte* data);

  mutable std::mutex mutex_;
  std::map<const std::byte*, Place, std::greater<>> places_;
  std::int64_t free_bytes_;
};

class HostStream final : public device::Stream {
 public:
  using Work = std::function<void()>;

  explicit HostStream(std::shared_ptr<const HostHeap> heap) : heap_(std::move(heap)) {}

  /// Does it, or records it.
  void run(Work work);

  void copy_in(void* device, const void* pinned, std::int64_t bytes) override;
  void copy_out(void* pinned, const void* device, std::int64_t bytes) override;
  void copy(void* to, const void* from, std::int64_t bytes) override;
  void clear(void* device, std::int64_t bytes) override;
  void wait_for(device::Stream& other) override;
  [[nodiscard]] std::unique_ptr<device::Graph> capture(const std::function<void()>& work) override;
  [[nodiscard]] std::unique_ptr<device::Milestone> make_milestone() override;
  [[nodiscard]] bool idle() override;
  void synchronize() override;

 private:
  /// A capture under way, and the streams that take part in it.
  struct Recording {
    std::vector<Work> work;
    std::vector<HostStream*> streams;
  };

  void end_recording();

  std::shared_ptr<const HostHeap> heap_;
  std::shared_ptr<Recording> recording_;
  bool awaited_ = true;  ///< while recording: whether another stream waits for all that was recorded here
};

}  // namespace lockstep::testing
