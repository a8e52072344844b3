#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/accelerator.h"
#include "device/cuda/choices.h"
#include "device/cuda/libraries.h"

/// A layer is what runs one node of a network on a GPU, or a node and the ReLU behind it, or these and a
/// max-pool. It is planned once, shared by all runners, and keeps nothing of a run: memory and library
/// handles come with each call. All tensors are floats, samples × C, H, W.
namespace lockstep::device::cuda {

using config::Precision;

/// Where a layer stands, and what is asked of it.
struct Site {
  const Network& network;
  const Node& node;
  std::int64_t samples = 0;
  Mode mode = Mode::evaluation;
  Precision precision = Precision::fp32;
  cudnnHandle_t cudnn = nullptr;  ///< to ask for algorithms; there if the network has a convolution
  Choices& choices;
  bool is_lowest = false;      ///< no earlier node has parameters
  bool backward = false;       ///< training, and this or an earlier node has parameters
  bool data_gradient = false;  ///< training, and an earlier node has parameters
  /// The next node is a ReLU: a layer that can compute it along the way does so, and covers both nodes.
  bool relu_follows = false;
  /// The max-pool behind that ReLU, if one comes there. A layer that does not compute it too leaves the
  /// ReLU's backward pass to the pool's: a maximum that is not positive hands down no gradient.
  const Pool2dOp* pool = nullptr;
  /// For the layer of that max-pool.
  bool masks_relu = false;

  [[nodiscard]] const Parameter& parameter(int index) const { return network.parameters[index]; }
};

/// When a buffer holds something: in the forward pass, in the backward pass, or from one to the other.
enum class Life : std::uint8_t { forward, backward, whole };

/// What the network plan must know of a layer.
struct Contract {
  bool dst_is_src = false;            ///< forward leaves the data where they lie
  bool diff_src_is_diff_dst = false;  ///< backward works in place
  bool backward_reads_src = false, backward_reads_dst = false;
  bool data_gradient = false;  ///< backward() leaves the gradient of src
  struct Buffer {
    std::int64_t bytes;
    Life life;
  };
  std::vector<Buffer> buffers;
  std::vector<int> gradients;                ///< parameters whose gradients backward() writes
  std::vector<std::string> implementations;  ///< one for each node covered

  [[nodiscard]] bool runs_backward() const { return !gradients.empty() || data_gradient; }
  /// Asks for memory; returns its index, or -1 where none is needed.
  int add_buffer(std::int64_t bytes, Life life);
};

/// One layer's part of a pass over a shard. Addresses are the device's.
struct Run {
  cudaStream_t stream = nullptr;
  const Libraries& libraries;
  const DeviceShard& shard;
  bool training = false;
  const float* weights = nullptr;  ///< the slab
  float* gradient = nullptr;       ///< the slab, in training
  const float* src = nullptr;
  float* dst = nullptr;
  float *diff_src = nullptr, *diff_dst = nullptr;  ///< null where nothing flows back
  std::span<std::byte* const> buffers;             ///< as in Contract::buffers

  [[nodiscard]] const float* weight(const Parameter& parameter) const { return weights + parameter.offset; }
  [[nodiscard]] float* gradient_of(const Parameter& parameter) const { return gradient + parameter.offset; }
  /// Null for -1.
  template <class T>
  [[nodiscard]] T* buffer(int index) const {
    return index < 0 ? nullptr : reinterpret_cast<T*>(buffers[static_cast<std::size_t>(index)]);
  }
};

class Layer {
 public:
  Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
  virtual ~Layer() = default;
  [[nodiscard]] const Contract& contract() const { return contract_; }
  /// Queue their work on run.stream. They neither allocate nor wait, and may be captured.
  virtual void forward(const Run& run) const = 0;
  virtual void backward(const Run& run) const = 0;

 protected:
  Contract contract_;
};

// Each kind of operation has its file.
std::unique_ptr<Layer> make_layer(const Conv2dOp& op, const Site& site);
std::unique_ptr<Layer> make_layer(const Pool2dOp& op, const Site& site);
std::unique_ptr<Layer> make_layer(const DenseOp& op, const Site& site);
std::unique_ptr<Layer> make_layer(const ActivationOp& op, const Site& site);
std::unique_ptr<Layer> make_layer(const FlattenOp& op, const Site& site);
std::unique_ptr<Layer> make_layer(const DropoutOp& op, const Site& site);

}  // namespace lockstep::device::cuda
