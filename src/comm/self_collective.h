#pragma once

#include "comm/collective.h"

namespace lockstep::comm {

/// One rank: its partial sums and its weights are everybody's. Nothing is copied.
class SelfCollective final : public Collective {
 public:
  SelfCollective(World& world, std::int64_t slab_size, std::int64_t shards);
  [[nodiscard]] std::string_view name() const override { return "self"; }
  std::span<float> make_slab() override { return make_private_slab(); }
  std::span<const SlicePartial> exchange(std::span<const Partial> local) override;
  void all_gather(std::span<float> weights) override;
  void all_reduce(std::span<float> values) override;
};

}  // namespace lockstep::comm
