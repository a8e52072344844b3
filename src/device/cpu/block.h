#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/partition.h"
#include "device/backend.h"
#include "device/cpu/onednn.h"

/// A block is what runs one node of a network on the CPU, or a node and those behind it that it computes
/// along the way. `Block` is the plan, shared by all workers; `BlockRunner` is one worker's, bound to that
/// worker's scratch memory and to a shard's.
namespace lockstep::device::cpu {

/// Where a block stands, and what is asked of it.
struct Site {
  dnnl::engine engine;
  const Network& network;
  const Node& node;
  std::int64_t samples = 0;
  Mode mode = Mode::evaluation;
  Desc offered;                     ///< what the block before leaves: a hint for the choice of layouts
  bool backward = false;            ///< training, and this or an earlier node has parameters
  bool data_gradient = false;       ///< training, and an earlier node has parameters
  std::span<const Node> following;  ///< the nodes behind this one
  bool parameters_below = false;    ///< an earlier node has some, whatever the mode
  ConvolutionMethod convolutions = ConvolutionMethod::automatic;
  /// The next node is a ReLU: a block that can compute it along the way does so, and covers both nodes.
  bool relu_follows = false;
  /// Behind that ReLU comes a max-pool, whose block takes over the ReLU's backward pass: a maximum that is
  /// not positive hands down no gradient. It is the same result from a fraction of the cells.
  bool pool_masks_relu = false;
  /// For the block of that max-pool.
  bool masks_relu = false;

  [[nodiscard]] Dims dims(const Shape& per_sample) const;
  [[nodiscard]] const Parameter& parameter(int index) const { return network.parameters[index]; }
};

/// When a buffer holds something: in the forward pass, in the backward pass, or from one to the other.
enum class Life : std::uint8_t { forward, backward, whole };
inline bool is_scratch(Life life) {
  return life != Life::whole;
}

/// What the network plan must know of a block.
struct Contract {
  /// Layouts. `src` may differ from what the site offered: the plan puts a change of layout between. The
  /// gradient of dst comes in the layout diff_dst, that of src is left as diff_src (empty: not computed).
  Desc src, dst, diff_src, diff_dst;
  bool dst_is_src = false;            ///< forward leaves the data where they lie
  bool diff_src_is_diff_dst = false;  ///< backward works in place
  bool backward_reads_src = false, backward_reads_dst = false;
  struct Buffer {
    Desc desc;
    Life life;
  };
  std::vector<Buffer> buffers;
  /// Bytes of weights that do not stay in a worker's caches from one shard to the next, and which its runners
  /// read once when they run together; 0: there are none.
  std::int64_t large_weights = 0;
  int most_together = 1;       ///< runners that read them at once: a power of two, at most most_runs
  std::vector<int> gradients;  ///< parameters whose gradients backward() writes
  std::vector<std::string> implementations;  ///< one for each node covered

  [[nodiscard]] bool runs_backward() const { return !gradients.empty() || !diff_src.is_zero(); }
  /// Asks for memory; returns its index, or -1 where the descriptor is empty.
  int add_buffer(const Desc& desc, Life life);
};

/// One worker's memory for a block.
struct Bindings {
  dnnl::stream stream;
  dnnl::memory src, dst, diff_src, diff_dst;  ///< the last two are empty where nothing flows back
  std::vector<dnnl::memory> buffers;          ///< as in Contract::buffers

  [[nodiscard]] dnnl::memory buffer(int index) const;  ///< empty for -1
};

/// One run over one shard.
struct Pass {
  bool training = false;
  const float* images = nullptr;
  const std::int64_t* rows = nullptr;
  std::int64_t epoch = 0;
  float* gradient = nullptr;  ///< the slab, in training
  float* kept = nullptr;      ///< see ShardInput
};

/// Throws dnnl::error where the library fails; the network's runner adds the layer's name. Another runner,
/// bound to the same shard's memory, may run backward: what that needs lies there, in src, dst or a buffer
/// with Life::whole, and nowhere else.
class BlockRunner {
 public:
  BlockRunner() = default;
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;
  virtual ~BlockRunner() = default;
  virtual void forward(const Pass& pass) = 0;
  virtual void backward(const Pass& pass) = 0;
};

/// One of a block's runners, and what it is to run.
struct BlockRun {
  BlockRunner* runner = nullptr;
  const Pass* pass = nullptr;
};

/// The most runners of a block that run together.
inline constexpr int most_runs = 4;

class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  virtual ~Block() = default;
  [[nodiscard]] const Contract& contract() const { return contract_; }
  /// Weights that the block packs the same in all plans: see Plan::packing.
  [[nodiscard]] virtual Packing packing() const { return {}; }
  virtual void pack(std::span<const float> /*weights*/, std::int64_t /*piece*/, float* /*packed*/) const {}
  [[nodiscard]] virtual Range packing_source(std::int64_t /*piece*/) const { return {}; }
  /// Takes the weights, and where its own are packed, which may not be complete yet.
  virtual void load(std::span<const float> /*weights*/, const float* /*packed*/) {}
  /// Bytes of what load() packs for this plan alone.
  [[nodiscard]] virtual std::int64_t shared_bytes() const { return 0; }
  /// The runner must not outlive the block.
  [[nodiscard]] virtual std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const = 0;
  /// Runs some of its runners, each for a shard of its own, at most most_runs of them. Here one after the
  /// other; a block with large weights overrides it.
  virtual void forward(std::span<const BlockRun> runs) const;
  virtual void backward(std::span<const BlockRun> runs) const;

 protected:
  Contract contract_;
};

/// "jit:avx512_core", or where the passes differ "forward …, weights …, data …".
std::string name_implementations(const std::string& forward, const std::string& weights,
                                 const std::string& data);

}  // namespace lockstep::device::cpu
