#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "config/experiment.h"
#include "device/backend.h"
#include "device/stream.h"
#include "tensor/affine_map.h"
#include "tensor/dtype.h"

/// A device with memory and a clock of its own: work is queued on streams, and done later. train/ writes a
/// training step in these terms, whatever the device is; cuda/ does it with CUDA.
/// Everything throws Error(internal) that names the call and the device when the device or its library fails,
/// which may be found out later than where it happened.
namespace lockstep::device {

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
