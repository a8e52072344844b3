#include "device/cpu/dropout.h"

#include <algorithm>

#include "base/check.h"
#include "base/philox.h"
#include "device/cpu/elementwise.h"
#include "device/elementwise_math.h"

namespace lockstep::device::cpu {
namespace {

class DropoutRunner final : public BlockRunner {
 public:
  DropoutRunner(const DropoutOp& op, std::uint64_t seed, const Bindings& bindings)
      : key_(seed, Purpose::dropout, op.stream),
        threshold_(dropout_threshold(op.rate)),
        divisor_(dropout_divisor(op.rate)),
        count_(op.count),
        total_(floats_of(bindings.dst.get_desc())),
        src_(bindings.src),
        dst_(bindings.dst),
        diff_(bindings.diff_dst),
        kept_(static_cast<std::uint8_t*>(bindings.buffer(0).get_data_handle())) {}

  void forward(const Pass& pass) override {
    const float* x = floats(src_);
    float* y = floats(dst_);
    if (!pass.training) {
      std::copy_n(x, total_, y);
      return;
    }
    check(pass.rows != nullptr, "dropout is given the identities of the samples");
    for (std::int64_t first = 0, sample = 0; first < total_; first += count_, ++sample)
      draw(static_cast<std::uint32_t>(pass.epoch), static_cast<std::uint64_t>(pass.rows[sample]),
           kept_ + first);
    drop(x, kept_, divisor_, y, total_);
  }

  void backward(const Pass& /*pass*/) override {
    float* diff = floats(diff_);
    drop(diff, kept_, divisor_, diff, total_);
  }

 private:
  /// One sample's mask.
  void draw(std::uint32_t epoch, std::uint64_t row, std::uint8_t* kept) const {
    for (std::int64_t element = 0; element < count_; element += 4) {
      const auto words = key_.words(epoch, row, static_cast<std::uint32_t>(element / 4));
      const std::int64_t used = std::min<std::int64_t>(4, count_ - element);
      for (std::int64_t word = 0; word < used; ++word)
        kept[element + word] = words[static_cast<std::size_t>(word)] >> 8U >= threshold_ ? 1 : 0;
    }
  }

  RandomKey key_;
  std::uint32_t threshold_;
  float divisor_;
  std::int64_t count_, total_;  ///< elements of a sample, of the shard
  dnnl::memory src_, dst_, diff_;
  std::uint8_t* kept_;
};

/// Does nothing; its output is its input.
class IdentityRunner final : public BlockRunner {
 public:
  void forward(const Pass& /*pass*/) override {}
  void backward(const Pass& /*pass*/) override {}
};

class Dropout final : public Block {
 public:
  Dropout(const DropoutOp& op, const Site& site)
      : op_(op), seed_(site.network.seed), active_(site.mode == Mode::training) {
    // The mask is defined on the order C, H, W.
    contract_.src = active_ ? plain(dims_of(site.offered)) : site.offered;
    contract_.dst = contract_.diff_dst = contract_.src;
    contract_.dst_is_src = !active_;
    contract_.implementations = {active_ ? "own" : "none"};
    if (active_)
      contract_.add_buffer(bytes(floats_of(contract_.src)), site.data_gradient ? Life::whole : Life::forward);
    if (!site.data_gradient) return;
    contract_.diff_src = contract_.src;
    contract_.diff_src_is_diff_dst = true;
  }

  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override {
    if (!active_) return std::make_unique<IdentityRunner>();
    return std::make_unique<DropoutRunner>(op_, seed_, bindings);
  }

 private:
  DropoutOp op_;
  std::uint64_t seed_;
  bool active_;
};

}  // namespace

std::unique_ptr<Block> make_block(const DropoutOp& op, const Site& site) {
  return std::make_unique<Dropout>(op, site);
}

}  // namespace lockstep::device::cpu
