#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/partition.h"
#include "device/network.h"

namespace lockstep::device {

/// Sums over the samples of a shard. Adding two of them adds each member.
struct Totals {
  double loss = 0;
  std::int64_t correct = 0;
  std::int64_t samples = 0;
  Totals& operator+=(const Totals& other);
};

/// How long a thread's passes have taken, by node of the network; a node that is computed along with one
/// before it has none of its own. Device threads of their own are not seen.
struct PassTimes {
  struct Node {
    std::chrono::nanoseconds forward{}, backward{};
  };
  std::vector<Node> nodes;
  std::chrono::nanoseconds loss{};
};

/// What the backward pass over one shard left for JointGradients.
struct KeptShard {
  const float* data = nullptr;
  std::int64_t samples = 0;
};

/// That JointGradients can add up at once. A batch has no more.
inline constexpr std::size_t most_joint_shards = 4096;

/// Gradients of large weights, computed for many shards at once and added up on the way: to write each
/// shard's own and to read it again would take longer than to compute it. Thread-safe.
class JointGradients {
 public:
  virtual ~JointGradients() = default;
  /// The floats of a gradient slab that are computed so, ascending.
  [[nodiscard]] virtual std::span<const Range> ranges() const = 0;
  /// Floats that a shard of so many samples keeps for it.
  [[nodiscard]] virtual std::int64_t kept_floats(std::int64_t samples) const = 0;
  /// The work comes in so many pieces, which write different floats, by and large in ascending order.
  [[nodiscard]] virtual std::int64_t pieces() const = 0;
  /// Writes a piece of the sum over `shards`, a power of two of them and at most most_joint_shards, into a
  /// gradient slab. They are added in a binary tree over their order, ((g0+g1)+(g2+g3))+…: the same bits as
  /// from each shard's own gradient, added in that tree. One without samples counts as zeros.
  virtual void add_up(std::int64_t piece, std::span<const KeptShard> shards, float* slab) const = 0;
};

/// One shard's samples. All pointers are borrowed for the call.
struct ShardInput {
  const float* images = nullptr;         ///< samples × input, C, H, W
  const std::int32_t* labels = nullptr;  ///< samples, each in [0, classes)
  const std::int64_t* rows = nullptr;    ///< samples: their identities, for dropout
  std::int64_t epoch = 0;
  /// Where train() leaves what JointGradients need, whose ranges it then does not write; null: it writes the
  /// whole gradient.
  float* kept = nullptr;
  PassTimes* times = nullptr;  ///< where train() adds how long it took; null: nobody wants to know
};

/// A shard to train on, and what comes of it.
struct ShardJob {
  ShardInput input;
  std::span<float> gradient;  ///< see ShardRunner::train
  Totals totals;
};

/// Runs shards of one plan on one thread at a time: owns that worker's activations and scratch memory. The
/// plan must outlive it. The same shard gives the same bits from any runner of a plan, whatever it ran
/// before or runs together with it.
///
/// Not every NaN or infinity shows in the loss: libraries' ReLU (alone or behind a convolution) and
/// max-pooling turn a NaN into a number. So a finite loss proves nothing; what does is that the updates below
/// look at every gradient, every new weight and the optimizer's state. A NaN or +infinity among the outputs
/// themselves always gives a loss that is not finite.
class ShardRunner {
 public:
  virtual ~ShardRunner() = default;
  /// Forward, loss, backward. Overwrites `gradient` (a slab) with the *sums* over the samples, gaps with
  /// zeros.
  virtual Totals train(const ShardInput& input, std::span<float> gradient) = 0;
  /// Forward and loss, without dropout.
  virtual Totals evaluate(const ShardInput& input) = 0;
};

/// Trains on many shards of one plan, with several workers. Each shard has a place, where its activations
/// lie, and passes through in three parts: forward() up to the first layer of large weights, turn(), in which
/// a group of neighbours passes that layer and all behind it together, forth and back, so that large weights
/// are read once for the group, and backward(). Any worker may run any part, each one part at a time; parts
/// of different groups, and forward() and backward() of different places, may run side by side. The bits are
/// those of a ShardRunner. The plan must outlive it.
class GroupRunner {
 public:
  virtual ~GroupRunner() = default;
  virtual void forward(int place, int worker, const ShardInput& input) = 0;
  /// Of shards in the places from `first` on, which all have come forward. Sets their totals, and begins
  /// their gradients. The first one's `times` count for all.
  virtual void turn(int first, int worker, std::span<ShardJob> jobs) = 0;
  /// Completes the gradient.
  virtual void backward(int place, int worker, const ShardJob& job) = 0;
};

enum class Mode : std::uint8_t { training, evaluation };

/// What it takes to pack weights for kernels.
struct Packing {
  std::int64_t floats = 0;  ///< packed; 0: there is nothing to pack
  std::int64_t pieces = 0;  ///< that can be packed apart
  friend bool operator==(const Packing&, const Packing&) = default;
};

/// A network planned for shards of one number of samples: algorithms and layouts chosen, descriptors made.
/// Shared by all workers of a rank; the number of workers never changes the bits of a result.
class Plan {
 public:
  virtual ~Plan() = default;
  /// Takes the weights (a slab, plain layouts) and refreshes packed copies. Call after every change of the
  /// weights and before the next run; not while a runner of this plan works. `weights` must stay valid until
  /// the next call. The first call takes memory for packed weights.
  void load_weights(std::span<const float> weights);
  /// The same with memory of the caller's, packing().floats of it on a cache line, for packed weights.
  void load_weights(std::span<const float> weights, float* packed);

  /// The same in two parts, so that one copy of packed weights, in the caller's memory, serves many plans:
  /// those of one network and mode pack the same bits, whatever their numbers of samples, on every rank with
  /// this instruction set. First each piece once, in any order, on several threads or ranks at a time;
  /// `packed` lies on a cache line.
  [[nodiscard]] virtual Packing packing() const { return {}; }
  virtual void pack(std::span<const float> /*weights*/, std::int64_t /*piece*/, float* /*packed*/) const {}
  /// The part of the slab that a piece is packed from, not empty; the rest may still be changing then.
  [[nodiscard]] virtual Range packing_source(std::int64_t /*piece*/) const { return {}; }
  /// Then, or at the same time, this for each plan that is to run, in pieces likewise: takes both, which must
  /// stay valid, and packs what is this plan's alone (shared_bytes()).
  [[nodiscard]] virtual std::int64_t load_pieces() const { return 1; }
  virtual void load_piece(std::span<const float> weights, std::int64_t piece, const float* packed) = 0;

  /// A runner for one worker. Create it on the thread that will use it, or before that thread starts to use
  /// it.
  [[nodiscard]] virtual std::unique_ptr<ShardRunner> make_runner() = 0;
  /// Bytes of such a runner's activations and scratch, and of weights that are packed for this plan alone.
  [[nodiscard]] virtual std::int64_t runner_bytes() const = 0;
  [[nodiscard]] virtual std::int64_t shared_bytes() const = 0;

  /// The most shards of a group that gain from it, a power of two; 1: none.
  [[nodiscard]] virtual int most_together() const { return 1; }
  /// Whether they gain so much that it is worth it if workers wait for each other, or cannot help other
  /// ranks.
  [[nodiscard]] virtual bool gains_much_together() const { return false; }
  /// For so many shards in hand at a time; also where it gains nothing. Null where most_together() is always
  /// 1.
  [[nodiscard]] virtual std::unique_ptr<GroupRunner> make_group_runner(int /*places*/, int /*workers*/) {
    return nullptr;
  }
  [[nodiscard]] virtual std::int64_t group_runner_bytes(int /*places*/, int /*workers*/) const { return 0; }

  /// For each node the implementation chosen, e.g. "brgconv:avx512_core"; nodes fused into the one before say
  /// "fused".
  [[nodiscard]] virtual std::vector<std::string> implementations() const = 0;

 private:
  AlignedBuffer<float> own_packed_;  // of load_weights()
};

/// g' = g + weight_decay·w; v ← momentum·v + g'; w ← w − learning_rate·(nesterov ? g' + momentum·v : v), in
/// floats in this order. Without momentum v is g', and the velocity is neither read nor written: it may be
/// empty.
struct SgdArguments {
  float learning_rate = 0, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};
/// m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²; w ← w − (learning_rate·weight_decay)·w
/// − learning_rate·(m·correction1) / (√(v·correction2) + epsilon), in floats in this order. The corrections
/// are 1 / (1 − βᵗ). I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
struct AdamWArguments {
  float learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  float correction1 = 1, correction2 = 1;
};

/// Where a rank computes. Thread-safe unless said otherwise.
class Backend {
 public:
  virtual ~Backend() = default;
  /// "cpu" with the instruction set in use, e.g. "cpu (avx512_core)".
  [[nodiscard]] virtual std::string describe() const = 0;
  /// Plans `network` for shards of exactly `samples` >= 1 samples. `network` must outlive the plan.
  [[nodiscard]] virtual std::unique_ptr<Plan> plan(const Network& network, std::int64_t samples,
                                                   Mode mode) = 0;

  /// Those of this network's training that are better computed for many shards at once; null if there are
  /// none. `network` must outlive it.
  [[nodiscard]] virtual std::unique_ptr<JointGradients> joint_gradients(const Network& network) {
    (void)network;
    return nullptr;
  }

  /// Element by element, so any cut of the slab gives the same bits, on any processor. Return false when a
  /// gradient, a new weight or a new velocity or moment is not finite (the update is applied all the same).
  /// Velocity and moments start as zeros.
  virtual bool sgd_update(const SgdArguments& arguments, std::span<float> weights,
                          std::span<const float> gradient, std::span<float> velocity) = 0;
  virtual bool adamw_update(const AdamWArguments& arguments, std::span<float> weights,
                            std::span<const float> gradient, std::span<float> moment1,
                            std::span<float> moment2) = 0;
};

using config::ConvolutionMethod;

struct CpuOptions {
  ConvolutionMethod convolutions = ConvolutionMethod::automatic;
};

/// The CPU backend: own kernels and oneDNN's for convolutions and dense layers, oneDNN's for pooling, own
/// loops for the rest. It, its plans and its runners set OpenMP to one thread for whichever thread calls
/// them.
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options = {});
/// Sets OpenMP to one thread for the calling thread: libraries under a shard must not start threads.
void prepare_cpu_thread();
/// Name of the instruction set that oneDNN dispatches to, and its version.
std::string cpu_instruction_set();
std::string onednn_version();

}  // namespace lockstep::device
