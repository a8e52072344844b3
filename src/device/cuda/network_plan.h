#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/partition.h"
#include "device/accelerator.h"
#include "device/arena.h"
#include "device/cuda/layer.h"

namespace lockstep::device::cuda {

/// See Accelerator::plan. `accelerator` must outlive the plan; it is one of this folder.
std::unique_ptr<DevicePlan> make_network_plan(Accelerator& accelerator, Precision precision,
                                              const Network& network, std::int64_t samples, Mode mode,
                                              const std::string& choices);

/// A chain of layers from the images to the outputs, and the layout of one runner's memory.
///
/// Between stage s - 1 and stage s lies edge s: an activation, and in training its gradient. Edge 0 is the
/// images, which belong to the caller; the last edge is the outputs, which the loss reads.
class NetworkPlan final : public DevicePlan {
 public:
  NetworkPlan(Accelerator& accelerator, Precision precision, const Network& network, std::int64_t samples,
              Mode mode, const std::string& choices);

  using DevicePlan::make_runner;
  [[nodiscard]] std::unique_ptr<DeviceRunner> make_runner(std::shared_ptr<DeviceLane> lane) override;
  [[nodiscard]] std::int64_t runner_bytes() const override;
  [[nodiscard]] std::vector<std::string> implementations() const override;
  [[nodiscard]] std::string choices() const override { return choices_.text(); }

  struct Stage {
    std::unique_ptr<Layer> layer;
    const Node* node = nullptr;  ///< the first that it runs
    std::vector<int> buffers;    ///< places of Contract::buffers
  };
  /// Places that are not in the arena.
  static constexpr int nowhere = -1, images = -2;

  [[nodiscard]] Accelerator& accelerator() const { return accelerator_; }
  [[nodiscard]] const Network& network() const { return network_; }
  [[nodiscard]] std::int64_t samples() const { return samples_; }
  [[nodiscard]] Mode mode() const { return mode_; }
  [[nodiscard]] const std::vector<Stage>& stages() const { return stages_; }
  [[nodiscard]] const std::vector<int>& activations() const { return activations_; }  ///< places, by edge
  [[nodiscard]] const std::vector<int>& gradients() const { return gradients_; }      ///< places, by edge
  [[nodiscard]] int sample_losses() const { return sample_losses_; }  ///< a place, as is the next
  [[nodiscard]] int sample_correct() const { return sample_correct_; }
  /// The lowest stage that runs backward; the number of stages if none does.
  [[nodiscard]] std::size_t backward_end() const { return backward_end_; }
  /// Once a stage has run backward, floats [0, this) of the gradient slab are finished.
  [[nodiscard]] std::int64_t finished_by(std::size_t stage) const;
  /// Ranges of a gradient slab that no layer writes.
  [[nodiscard]] const std::vector<Range>& gaps() const { return gaps_; }
  [[nodiscard]] const Arena& arena() const { return arena_; }
  [[nodiscard]] bool needs_cudnn() const { return needs_cudnn_; }
  [[nodiscard]] bool needs_cublas() const { return needs_cublas_; }

 private:
  void add_stages(Precision precision);
  void place_activations();
  void place_gradients();
  void place_buffers();
  void find_gaps();
  [[nodiscard]] static int forward_time(std::size_t stage);
  [[nodiscard]] int backward_time(std::size_t stage) const;
  /// Of the edge below `stage`.
  [[nodiscard]] std::int64_t edge_bytes(std::size_t stage) const;
  void extend(int place, int time);

  Accelerator& accelerator_;
  const Network& network_;
  std::int64_t samples_;
  Mode mode_;
  bool needs_cudnn_, needs_cublas_;
  Choices choices_;
  std::vector<Stage> stages_;
  std::vector<int> activations_, gradients_;
  int sample_losses_ = nowhere, sample_correct_ = nowhere;
  std::size_t backward_end_ = 0;
  std::vector<Range> gaps_;
  Arena arena_;
};

}  // namespace lockstep::device::cuda
