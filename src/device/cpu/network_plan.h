#pragma once

#include <memory>
#include <vector>

#include "base/partition.h"
#include "device/arena.h"
#include "device/backend.h"
#include "device/cpu/block.h"

namespace lockstep::device::cpu {

/// A chain of blocks from the images to the outputs, and the layout of memory: an arena for each shard, and
/// one for each worker's scratch memory, in which nothing stays from one part of a GroupRunner to the next.
///
/// Between stage s - 1 and stage s lies edge s: an activation, and in training its gradient. Edge 0 is the
/// images, which belong to the caller; the last edge is the outputs, plain, which the loss reads.
class NetworkPlan final : public Plan {
 public:
  NetworkPlan(const dnnl::engine& engine, const Network& network, std::int64_t samples, Mode mode,
              const CpuOptions& options = {});

  [[nodiscard]] Packing packing() const override { return packing_; }
  void pack(std::span<const float> weights, std::int64_t piece, float* packed) const override;
  [[nodiscard]] Range packing_source(std::int64_t piece) const override;
  [[nodiscard]] std::int64_t load_pieces() const override { return std::ssize(stages_); }
  void load_piece(std::span<const float> weights, std::int64_t piece, const float* packed) override;
  [[nodiscard]] std::unique_ptr<ShardRunner> make_runner() override;
  [[nodiscard]] std::int64_t runner_bytes() const override { return arena_.bytes() + scratch_.bytes(); }
  [[nodiscard]] std::int64_t shared_bytes() const override;
  [[nodiscard]] int most_together() const override;
  [[nodiscard]] bool gains_much_together() const override;
  [[nodiscard]] std::unique_ptr<GroupRunner> make_group_runner(int places, int workers) override;
  [[nodiscard]] std::int64_t group_runner_bytes(int places, int workers) const override {
    return places * arena_.bytes() + workers * scratch_.bytes();
  }
  [[nodiscard]] std::vector<std::string> implementations() const override;

  struct Stage {
    std::unique_ptr<Block> block;
    const Node* node = nullptr;     ///< the node it runs, or that a change of layout serves
    bool is_layout_change = false;  ///< put in between; runs no node
    std::vector<int> buffers;       ///< places of Contract::buffers, each in its arena
    std::int64_t packed = 0;        ///< where the block's packed weights begin
  };
  struct Tensor {
    Desc desc;
    int place = -1;  ///< in an arena; images: the caller's memory
    bool is_scratch = false;
  };
  static constexpr int images = -2;  ///< a Tensor's place

  [[nodiscard]] const dnnl::engine& engine() const { return engine_; }
  [[nodiscard]] const Network& network() const { return network_; }
  [[nodiscard]] std::int64_t samples() const { return samples_; }
  [[nodiscard]] Mode mode() const { return mode_; }
  [[nodiscard]] const std::vector<Stage>& stages() const { return stages_; }
  [[nodiscard]] const std::vector<Tensor>& activations() const { return activations_; }  ///< by edge
  [[nodiscard]] const std::vector<Tensor>& gradients() const { return gradients_; }      ///< by edge
  /// The first stage of large weights; the number of stages if there is none.
  [[nodiscard]] std::size_t turn() const { return turn_; }
  /// The lowest stage that runs backward; the number of stages if none does.
  [[nodiscard]] std::size_t backward_end() const { return backward_end_; }
  /// Ranges of a gradient slab that no block writes.
  [[nodiscard]] const std::vector<Range>& gaps() const { return gaps_; }
  /// What each shard needs for itself.
  [[nodiscard]] const Arena& arena() const { return arena_; }
  /// What a worker works in, whichever shard it is at.
  [[nodiscard]] const Arena& scratch() const { return scratch_; }

 private:
  void add_nodes();
  void append(std::unique_ptr<Block> block, const Node& node);
  void append_layout_change(const Desc& dst, const Desc& diff_dst, const Node& node);
  void find_turn();
  void place_activations();
  void place_gradients();
  void place_buffers();
  void place_packed_weights();
  template <class F>
  auto with_packing_stage(std::int64_t piece, F f) const;
  void check_slab(std::span<const float> weights) const;
  void find_gaps();
  [[nodiscard]] Desc offered() const;
  [[nodiscard]] static int forward_time(std::size_t stage);
  [[nodiscard]] int backward_time(std::size_t stage) const;
  [[nodiscard]] std::int64_t large_weights() const;
  int reserve(const Desc& desc, int first, int last);
  void extend(int place, int time);

  dnnl::engine engine_;
  const Network& network_;
  std::int64_t samples_;
  Mode mode_;
  CpuOptions options_;
  std::vector<Stage> stages_;
  std::vector<Tensor> activations_, gradients_;
  std::size_t turn_ = 0, backward_end_ = 0;
  std::vector<Range> gaps_;
  Arena arena_, scratch_;
  Packing packing_;
};

}  // namespace lockstep::device::cpu
