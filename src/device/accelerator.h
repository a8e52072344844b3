#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "config/experiment.h"
#include "device/backend.h"
#include "tensor/affine_map.h"
#include "tensor/dtype.h"

/// A device with memory and a clock of its own: work is queued on streams, and done later. train/ writes a
/// training step in these terms, whatever the device is; cuda/ does it with CUDA.
///
/// Addresses of device memory are plain pointers, in a DeviceSpan so that nobody takes them for the host's:
/// the host must not follow them. Queued work uses what it was given until it is done, so that must stay.
/// Everything throws Error(internal) that names the call and the device when the device or its library fails,
/// which may be found out later than where it happened.
namespace lockstep::device {

template <class T>
struct DeviceSpan {
  T* data = nullptr;
  std::int64_t count = 0;

  DeviceSpan() = default;
  DeviceSpan(T* first, std::int64_t size) : data(first), count(size) {}
  /// Of a span to change one to read.
  template <class U>
    requires(!std::is_same_v<T, U> && std::is_same_v<T, const U>)
  DeviceSpan(const DeviceSpan<U>& other) : data(other.data), count(other.count) {}  // NOLINT(*-explicit-*)

  [[nodiscard]] DeviceSpan subspan(std::int64_t first, std::int64_t size) const {
    check(first >= 0 && size >= 0 && first + size <= count, "a part of device memory lies within it");
    return {data + first, size};
  }
  [[nodiscard]] std::int64_t bytes() const { return count * static_cast<std::int64_t>(sizeof(T)); }
};

/// Owned memory, of the device or page-locked memory of the host; aligned to 256 bytes at least, contents
/// unspecified. Destroy it when no queued work uses it any more.
class Memory {
 public:
  static constexpr std::size_t alignment = 256;

  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 protected:
  Memory(std::byte* data, std::int64_t bytes) : data_(data), bytes_(bytes) {}

 private:
  std::byte* data_;
  std::int64_t bytes_;
};

/// A device's memory as an array. Empty until assigned.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::unique_ptr<Memory> memory) : memory_(std::move(memory)) {}
  [[nodiscard]] DeviceSpan<T> span() const {
    if (!memory_) return {};
    return {reinterpret_cast<T*>(memory_->data()), memory_->bytes() / static_cast<std::int64_t>(sizeof(T))};
  }

 private:
  std::unique_ptr<Memory> memory_;
};

/// Page-locked memory of the host: the only host memory that streams copy from and to.
template <class T>
class PinnedArray {
 public:
  PinnedArray() = default;
  explicit PinnedArray(std::unique_ptr<Memory> memory) : memory_(std::move(memory)) {}
  [[nodiscard]] std::span<T> span() const {
    if (!memory_) return {};
    return {reinterpret_cast<T*>(memory_->data()), static_cast<std::size_t>(memory_->bytes()) / sizeof(T)};
  }

 private:
  std::unique_ptr<Memory> memory_;
};

class Stream;

/// Work recorded once, to be queued as a whole. What it reads and writes must outlive it. Destroy it when no
/// launch of it is under way.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void launch(Stream& stream) = 0;
};

/// Work of a device for whose end the host may wait.
class Awaitable {
 public:
  virtual ~Awaitable() = default;
  Awaitable(const Awaitable&) = delete;
  Awaitable& operator=(const Awaitable&) = delete;

  /// Whether all of it is done. Reports failures of what was queued.
  [[nodiscard]] virtual bool idle() = 0;
  /// Returns when all of it is done.
  virtual void synchronize() = 0;

 protected:
  Awaitable() = default;
};

/// What a stream was given until set() was called last; nothing before that.
class Milestone : public Awaitable {
 public:
  /// Not to be captured.
  virtual void set() = 0;
};

/// A queue of the device: what is queued on it happens in order, and side by side with other streams' work
/// unless one waits for the other. Used by one thread at a time.
class Stream : public Awaitable {
 public:
  /// Copies between page-locked host memory (PinnedArray) and the device, or within the device.
  virtual void copy_in(void* device, const void* pinned, std::int64_t bytes) = 0;
  virtual void copy_out(void* pinned, const void* device, std::int64_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::int64_t bytes) = 0;
  /// Writes zeros.
  virtual void clear(void* device, std::int64_t bytes) = 0;

  /// What is queued here from now on happens after what `other` has been given until now.
  virtual void wait_for(Stream& other) = 0;
  /// Records what `work` queues, on this stream and on streams that it makes wait for this one and that this
  /// one waits for again in the end, instead of doing it. `work` neither waits nor allocates.
  [[nodiscard]] virtual std::unique_ptr<Graph> capture(const std::function<void()>& work) = 0;
  /// The stream must outlive it.
  [[nodiscard]] virtual std::unique_ptr<Milestone> make_milestone() = 0;
};

/// Waits for a stream at the end of its life: after a failure work may still be queued that uses the memory
/// of those that were made before this.
class Drain {
 public:
  explicit Drain(Stream& stream) : stream_(stream) {}
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  ~Drain() {
    try {
      stream_.synchronize();
    } catch (const std::exception&) {
      return;  // the failure has been reported
    }
  }

 private:
  Stream& stream_;
};

template <class T>
void copy_in(Stream& stream, DeviceSpan<T> to, std::span<const std::type_identity_t<T>> pinned) {
  check(std::ssize(pinned) == to.count, "a copy has as many elements as its target");
  stream.copy_in(to.data, pinned.data(), to.bytes());
}
template <class T>
void copy_out(Stream& stream, std::span<T> pinned, DeviceSpan<const std::type_identity_t<T>> from) {
  check(std::ssize(pinned) == from.count, "a copy has as many elements as its target");
  stream.copy_out(pinned.data(), from.data, from.bytes());
}
template <class T>
void copy(Stream& stream, DeviceSpan<T> to, DeviceSpan<const std::type_identity_t<T>> from) {
  check(to.count == from.count, "a copy has as many elements as its target");
  stream.copy(to.data, from.data, to.bytes());
}

/// One shard's samples in device memory.
struct DeviceShard {
  /// samples × input, C, H, W, at an address that Memory::alignment divides.
  DeviceSpan<const float> images;
  DeviceSpan<const std::int32_t> labels;  ///< samples, each in [0, classes)
  DeviceSpan<const std::int64_t> rows;    ///< samples: their identities, for dropout
  DeviceSpan<const std::int64_t> epoch;   ///< one, read when the work is done: a graph is used in many
};

/// Queues shards of one plan, one after the other, with activations, scratch memory and library handles of
/// its lane. The plan must outlive it. What it queues may be captured. The same shard gives the same bits
/// from any runner of a plan.
class DeviceRunner {
 public:
  /// Is told that all is queued that floats [0, end) of a gradient wait for.
  using Finished = std::function<void(std::int64_t end)>;

  virtual ~DeviceRunner() = default;
  /// The first half of a training pass: forward and loss. `weights` is a slab; overwrites `totals`, one
  /// element.
  virtual void forward(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                       DeviceSpan<Totals> totals) = 0;
  /// The second, of the same shard and weights, before anything else on the lane: overwrites `gradient`, a
  /// slab, with the sums over the samples, gaps with zeros. Calls `finished`, unless it is empty, with an end
  /// that never falls and comes to the slab's size.
  virtual void backward(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                        DeviceSpan<float> gradient, const Finished& finished) = 0;
  /// Both.
  void train(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
             DeviceSpan<float> gradient, DeviceSpan<Totals> totals) {
    forward(stream, shard, weights, totals);
    backward(stream, shard, weights, gradient, {});
  }
  /// Forward and loss, without dropout.
  virtual void evaluate(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                        DeviceSpan<Totals> totals) = 0;
};

/// Scratch memory and library handles for runners that never work side by side: on one stream, say.
class DeviceLane {
 public:
  virtual ~DeviceLane() = default;
  DeviceLane(const DeviceLane&) = delete;
  DeviceLane& operator=(const DeviceLane&) = delete;

 protected:
  DeviceLane() = default;
};

/// A network planned for shards of one number of samples.
class DevicePlan {
 public:
  virtual ~DevicePlan() = default;
  /// With a lane of its own.
  [[nodiscard]] std::unique_ptr<DeviceRunner> make_runner() { return make_runner(nullptr); }
  /// On a lane of the same accelerator, of whatever plans its other runners are. All runners of a lane are
  /// made before the first of them is used. Null: a lane of its own.
  [[nodiscard]] virtual std::unique_ptr<DeviceRunner> make_runner(std::shared_ptr<DeviceLane> lane) = 0;
  /// Of the device's memory, on a lane of its own. A lane takes what the largest of its runners takes.
  [[nodiscard]] virtual std::int64_t runner_bytes() const = 0;
  /// As Plan::implementations().
  [[nodiscard]] virtual std::vector<std::string> implementations() const = 0;
  /// The library's algorithms that were chosen, one line of text without line breaks; Accelerator::plan makes
  /// the same plan of it.
  [[nodiscard]] virtual std::string choices() const = 0;
};

/// DevicePlan::choices() by what they are for: the mode, and the number of samples.
using PlanChoices = std::map<std::pair<Mode, std::int64_t>, std::string>;

/// A sum over a tree: step i adds partial sum `from` to partial sum `into`, in this order, which leaves the
/// whole in partial sum 0.
struct TreeAddition {
  int into = 0;
  int from = 0;
};

/// What an update needs besides tensors; lies in device memory, so that a graph may be used for every step.
struct UpdateArguments {
  SgdArguments sgd;
  AdamWArguments adamw;
  float samples = 1;       ///< of the step, over all ranks
  std::uint32_t skip = 0;  ///< not 0: mean, update and take_weights leave everything as it is
};

/// What one rank's device has to say before an update, where the devices decide among themselves whether it
/// takes place.
struct StepFindings {
  std::uint64_t recorded = 0;  ///< sum of the hashes of its own blocks of the weights, as they were written
  std::uint64_t copy = 0;      ///< sum of the hashes of all blocks of its weights, as they are
  /// Not 0: its loss, or something that its last update left, is not finite, or its optimizer state is not
  /// what was written.
  std::uint64_t spoilt = 0;
};

/// Who writes a block of weights: the rank of its slice, or each rank all of them.
enum class WeightsOwner : bool { rank_of_slice, each_rank };

/// What a StepFindings is made of. Where memory is not looked at, the hashes are empty.
struct StepEvidence {
  static constexpr std::size_t most_states = 2;  ///< AdamW's moments
  DeviceSpan<const Totals> totals;
  DeviceSpan<const std::uint32_t> not_finite;      ///< flags of the last update
  DeviceSpan<const std::uint64_t> recorded, copy;  ///< hashes of the weights' blocks: own ones; all
  std::array<DeviceSpan<const std::uint64_t>, most_states> state_recorded, state_now;  ///< of own blocks
};

/// Samples as a file has them, in device memory.
struct StoredSamples {
  DeviceSpan<const std::byte> images;     ///< rows × image, in `type`, C, H, W
  DeviceSpan<const std::int32_t> labels;  ///< rows
  DType type = DType::u8;
  Shape image;
};

/// What a device is.
struct DeviceFacts {
  int index = 0;             ///< among those that this process sees
  std::string name;          ///< "NVIDIA H100 80GB HBM3"
  std::string unique_id;     ///< tells devices of a host apart: "GPU-…"
  std::string architecture;  ///< "9.0"
  std::string board =
      {};  ///< where it is plugged in, "0000:3b:00.0": parts of one board may be devices (MIG)
  std::int64_t memory_bytes = 0;
  std::int64_t free_bytes =
      0;  ///< known of an Accelerator's own device only, else 0: asking starts work on it
  std::vector<int> peers = {};  ///< indices of the devices whose memory it reaches directly
};

/// The device of a rank. Made on the main thread; any thread may use it afterwards, but for make_stream's
/// results see Stream.
class Accelerator {
 public:
  virtual ~Accelerator() = default;

  [[nodiscard]] virtual const DeviceFacts& facts() const = 0;
  /// E.g. "cuda (NVIDIA H100 80GB HBM3, 9.0, fp32)".
  [[nodiscard]] virtual std::string describe() const = 0;

  /// Error(internal) that says how much was wanted and how much is free when there is none.
  [[nodiscard]] virtual std::unique_ptr<Memory> allocate(std::int64_t bytes) = 0;
  [[nodiscard]] virtual std::unique_ptr<Memory> allocate_pinned(std::int64_t bytes) = 0;
  [[nodiscard]] virtual std::unique_ptr<Stream> make_stream() = 0;

  template <class T>
  [[nodiscard]] DeviceArray<T> make_array(std::int64_t count) {
    return DeviceArray<T>(allocate(count * static_cast<std::int64_t>(sizeof(T))));
  }
  template <class T>
  [[nodiscard]] PinnedArray<T> make_pinned(std::int64_t count) {
    return PinnedArray<T>(allocate_pinned(count * static_cast<std::int64_t>(sizeof(T))));
  }

  /// Plans `network`, which must outlive the plan, for shards of exactly `samples` >= 1 samples, with the
  /// algorithms in `choices` (of DevicePlan::choices of a plan for as many samples), or, if that is empty,
  /// with deterministic ones that the library recommends. Error(no_device) where this device cannot do the
  /// same.
  [[nodiscard]] virtual std::unique_ptr<DevicePlan> plan(const Network& network, std::int64_t samples,
                                                         Mode mode, const std::string& choices) = 0;

  [[nodiscard]] virtual std::shared_ptr<DeviceLane> make_lane() = 0;

  // What follows is queued on the stream, and may be captured.

  /// Copies samples `positions` (row numbers within `stored`) as floats times `scale`, and their labels. With
  /// `maps`, one for each (else there are none), an image is what its map makes of it, as data::Distorter
  /// does, to the bit; it must be C × H × W then.
  virtual void gather(Stream& stream, const StoredSamples& stored, DeviceSpan<const std::int64_t> positions,
                      DeviceSpan<const AffineMap> maps, float scale, DeviceSpan<float> images,
                      DeviceSpan<std::int32_t> labels) = 0;
  /// Adds `partials`, each of sum.count floats, as `additions` say. `sum` may be one of them.
  virtual void sum(Stream& stream, std::span<const DeviceSpan<const float>> partials,
                   std::span<const TreeAddition> additions, DeviceSpan<float> sum) = 0;
  /// The same, divided by arguments->samples (one IEEE division), unless arguments->skip.
  virtual void mean(Stream& stream, std::span<const DeviceSpan<const float>> partials,
                    std::span<const TreeAddition> additions, DeviceSpan<const UpdateArguments> arguments,
                    DeviceSpan<float> mean) = 0;
  /// As Backend's, unless arguments->skip, and except that a block of Parameters::block elements with a
  /// gradient, new weight, velocity or moment that is not finite sets its flag in `not_finite` to 1, which
  /// nothing clears.
  virtual void sgd_update(Stream& stream, DeviceSpan<const UpdateArguments> arguments,
                          DeviceSpan<float> weights, DeviceSpan<const float> gradient,
                          DeviceSpan<float> velocity, bool momentum,
                          DeviceSpan<std::uint32_t> not_finite) = 0;
  virtual void adamw_update(Stream& stream, DeviceSpan<const UpdateArguments> arguments,
                            DeviceSpan<float> weights, DeviceSpan<const float> gradient,
                            DeviceSpan<float> moment1, DeviceSpan<float> moment2,
                            DeviceSpan<std::uint32_t> not_finite) = 0;
  /// Copies new weights from where they were gathered, unless arguments->skip.
  virtual void take_weights(Stream& stream, DeviceSpan<const UpdateArguments> arguments,
                            DeviceSpan<const float> gathered, DeviceSpan<float> weights) = 0;
  /// `findings`, one element, are what the evidence comes to.
  virtual void find(Stream& stream, const StepEvidence& evidence, DeviceSpan<StepFindings> findings) = 0;
  /// Whether an update takes place, from what all ranks found; the same on all of them. If anything is wrong,
  /// `halted`, one element, becomes 1, and remains so; arguments->skip becomes what it is then.
  virtual void decide(Stream& stream, DeviceSpan<const StepFindings> of_ranks, WeightsOwner owner,
                      DeviceSpan<std::uint32_t> halted, DeviceSpan<UpdateArguments> arguments) = 0;
  /// hashes[i] = XXH3-64 of block i of `values` (Parameters::block floats each) with seed
  /// `first_seed` + i: io::hash64 of the same bytes.
  virtual void hash_blocks(Stream& stream, DeviceSpan<const float> values, std::uint64_t first_seed,
                           DeviceSpan<std::uint64_t> hashes) = 0;
};

struct AcceleratorOptions {
  int index = 0;  ///< as in DeviceFacts
  config::Precision precision = config::Precision::fp32;
};

// What kind of accelerator these are about is decided by the files that a program is built from: cuda/, or
// no_accelerator.cpp, which knows of none.

/// Those that this process sees, possibly none. Error(no_device), one line, where there is no driver, or one
/// too old, or this program was built without.
std::vector<DeviceFacts> visible_devices();
/// Error(no_device) where it cannot be used.
std::unique_ptr<Accelerator> make_accelerator(const AcceleratorOptions& options);
/// Libraries and their versions, {"CUDA", "13.0"}, …: the same on every machine that this program runs on.
/// Empty where it was built without.
std::vector<std::pair<std::string, std::string>> accelerator_libraries();
/// Version of the driver, as its vendor counts them, "13.0"; empty where there is none.
std::string accelerator_driver();

}  // namespace lockstep::device
