#include "comm/gradient_reducer.h"

#include <algorithm>

#include "base/check.h"
#include "base/fault.h"

namespace lockstep::comm {
namespace {

/// A collective operation, and what the rank is at in it and after it.
template <class Work>
void together(Collective& collective, Phase during, Phase after, const Work& work) {
  collective.activity().enter(during);
  {
    const Activity::Waiting waiting(collective.activity());
    work();
  }
  collective.activity().enter(after);
}

class TreeReducer final : public GradientReducer {
 public:
  TreeReducer(Collective& collective, std::int64_t shards) : collective_(collective), shards_(shards) {}

  [[nodiscard]] Range owned() const override { return collective_.own_slice(); }
  void begin(std::span<const Partial> local, const CompleteSums& complete) override {
    fault::stall(fault::Place::exchange);
    complete_ = complete;
    together(collective_, Phase::exchanging, Phase::updating,
             [&] { partials_ = collective_.exchange(local); });
  }
  void mean(std::int64_t first, float samples, std::span<float> out) const override {
    const Range all{first, first + std::ssize(out)};
    std::int64_t next = all.begin;
    const auto finish = [&](std::span<const SlicePartial> partials, std::int64_t slab_begin,
                            std::int64_t end) {
      const auto part =
          out.subspan(static_cast<std::size_t>(next - first), static_cast<std::size_t>(end - next));
      if (!part.empty()) finish_tree(partials, shards_, next - slab_begin, samples, part);
      next = end;
    };
    const SlicePartial whole{.tree = {0, shards_}, .data = complete_.slab};
    for (const Range& range : complete_.ranges) {
      finish(partials_, owned().begin, std::clamp(range.begin, next, all.end));
      finish({&whole, 1}, 0, std::clamp(range.end, next, all.end));
    }
    finish(partials_, owned().begin, all.end);
  }
  void end(std::span<float> weights) override {
    together(collective_, Phase::gathering, Phase::reporting, [&] { collective_.all_gather(weights); });
  }
  void hand_on(std::span<float> weights) override {
    together(collective_, Phase::gathering, Phase::reporting, [&] { collective_.hand_on(weights); });
  }

 private:
  Collective& collective_;
  std::int64_t shards_;
  std::span<const SlicePartial> partials_;
  CompleteSums complete_;
};

class AllReduceReducer final : public GradientReducer {
 public:
  AllReduceReducer(Collective& collective, std::int64_t slab_size)
      : collective_(collective), slab_size_(slab_size), sum_(collective.make_slab()) {}

  [[nodiscard]] Range owned() const override { return {0, slab_size_}; }
  void begin(std::span<const Partial> local, const CompleteSums& complete) override {
    check(complete.ranges.empty(), "what is added up in the library's order is not complete before");
    fault::stall(fault::Place::exchange);
    std::copy_n(local.front().data, sum_.size(), sum_.begin());
    for (const Partial& partial : local.subspan(1))
      for (std::size_t i = 0; i < sum_.size(); ++i) sum_[i] += partial.data[i];
    together(collective_, Phase::exchanging, Phase::updating, [&] { collective_.all_reduce(sum_); });
  }
  void mean(std::int64_t first, float samples, std::span<float> out) const override {
    const auto sum = sum_.subspan(static_cast<std::size_t>(first), out.size());
    std::transform(sum.begin(), sum.end(), out.begin(), [samples](float value) { return value / samples; });
  }
  void end(std::span<float> /*weights*/) override { collective_.activity().enter(Phase::reporting); }
  void hand_on(std::span<float> weights) override { end(weights); }

 private:
  Collective& collective_;
  std::int64_t slab_size_;
  std::span<float> sum_;
};

}  // namespace

std::unique_ptr<GradientReducer> make_gradient_reducer(config::Reproducibility reproducibility,
                                                       Collective& collective, std::int64_t slab_size,
                                                       std::int64_t shards) {
  if (reproducibility == config::Reproducibility::run)
    return std::make_unique<AllReduceReducer>(collective, slab_size);
  return std::make_unique<TreeReducer>(collective, shards);
}

}  // namespace lockstep::comm
