#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "device/accelerator.h"
#include "device/network.h"
#include "train/device_samples.h"

namespace lockstep::train {

/// Queues the pieces of a step: one plan for each number of samples that occurs. Pieces run side by side on
/// branches, streams with runners of their own, which fork from the caller's stream and join it again; a
/// single branch is that stream itself.
class DeviceEngine {
 public:
  /// For pieces of so many `samples`, with the algorithms in `choices` where they are named. As many branches
  /// as `branches` says, but no more than `pieces`; 0: as many as find room in half of `room` bytes.
  DeviceEngine(device::Accelerator& accelerator, const device::Network& network, device::Mode mode,
               std::span<const std::int64_t> samples, const device::PlanChoices& choices, std::int64_t pieces,
               std::int64_t branches, std::int64_t room);

  /// Where the results of a piece go: as in DeviceRunner. No gradient in evaluation.
  struct Results {
    std::span<const device::DeviceSpan<float>> gradients;  ///< by piece
    device::DeviceSpan<device::Totals> totals;             ///< by piece
  };
  /// Queues all pieces of what is staged, which have so many samples; those of none give zeros.
  void queue(device::Stream& stream, DeviceSamples& samples, std::span<const std::int64_t> counts,
             device::DeviceSpan<const float> weights, const Results& results);
  /// Queues one piece, on the caller's stream.
  void queue_one(device::Stream& stream, DeviceSamples& samples, std::size_t piece, std::int64_t count,
                 device::DeviceSpan<const float> weights, device::DeviceSpan<float> gradient,
                 device::DeviceSpan<device::Totals> totals) {
    queue_piece(stream, branches_.front(), samples, piece, count, weights, gradient, totals);
  }
  /// Queues the halves of a training's only piece, on the caller's stream. `finished` as in DeviceRunner.
  void queue_forward(device::Stream& stream, DeviceSamples& samples, std::int64_t count,
                     device::DeviceSpan<const float> weights, device::DeviceSpan<device::Totals> totals);
  void queue_backward(device::Stream& stream, const DeviceSamples& samples, std::int64_t count,
                      device::DeviceSpan<const float> weights, device::DeviceSpan<float> gradient,
                      const device::DeviceRunner::Finished& finished);
  /// Waits for the branches: before what they use goes, where the caller's stream may not have been joined.
  void synchronize();

 private:
  struct Branch {
    std::unique_ptr<device::Stream> stream;                                 // null for the caller's
    std::map<std::int64_t, std::unique_ptr<device::DeviceRunner>> runners;  // by samples
  };
  [[nodiscard]] static device::DeviceRunner& runner_of(const Branch& branch, std::int64_t count);
  void queue_piece(device::Stream& stream, Branch& branch, DeviceSamples& samples, std::size_t piece,
                   std::int64_t count, device::DeviceSpan<const float> weights,
                   device::DeviceSpan<float> gradient, device::DeviceSpan<device::Totals> totals) const;

  device::Mode mode_;
  std::map<std::int64_t, std::unique_ptr<device::DevicePlan>> plans_;  // by samples
  std::vector<Branch> branches_;
};

}  // namespace lockstep::train
