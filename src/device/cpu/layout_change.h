#pragma once

#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu {

/// Between two blocks that want different layouts: hands data from `src` to `dst`, and gradients from
/// `diff_dst` to `diff_src` (both empty where none flow). Costs nothing in a direction that changes nothing.
std::unique_ptr<Block> make_layout_change(const dnnl::engine& engine, const Desc& src, const Desc& dst,
                                          const Desc& diff_dst, const Desc& diff_src);

/// Flattening is a change of layout to plain C, H, W order, seen as one axis.
std::unique_ptr<Block> make_block(const FlattenOp& op, const Site& site);

}  // namespace lockstep::device::cpu
