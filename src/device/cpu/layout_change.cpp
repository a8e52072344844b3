#include "device/cpu/layout_change.h"

#include "base/check.h"

namespace lockstep::device::cpu {
namespace {

class LayoutChangeRunner final : public BlockRunner {
 public:
  LayoutChangeRunner(Call forward, Call backward)
      : forward_(std::move(forward)), backward_(std::move(backward)) {}
  void forward(const Pass& /*pass*/) override {
    if (forward_) forward_.run();
  }
  void backward(const Pass& /*pass*/) override {
    if (backward_) backward_.run();
  }

 private:
  Call forward_, backward_;
};

/// A plain layout with the extents of `other`, if those differ from its own: the same bytes.
Desc with_dims_of(const Desc& desc, const Desc& other) {
  if (dims_of(desc) == dims_of(other)) return desc;
  check(desc == plain(dims_of(desc)) && floats_of(desc) == floats_of(plain(dims_of(other))),
        "only a plain layout can be seen with other extents");
  return plain(dims_of(other));
}

class LayoutChange final : public Block {
 public:
  LayoutChange(const dnnl::engine& engine, const Desc& src, const Desc& dst, const Desc& diff_dst,
               const Desc& diff_src)
      : engine_(engine) {
    contract_.src = src;
    contract_.dst = dst;
    dst_view_ = with_dims_of(dst, src);
    forward_ = Reorder(engine, src, dst_view_);
    contract_.dst_is_src = !forward_.needed();
    if (forward_.needed()) forward_scratch_ = contract_.add_buffer(forward_.scratch(), Life::forward);
    contract_.implementations = {forward_.needed() ? forward_.implementation() : "none"};
    if (diff_src.is_zero()) return;
    contract_.diff_dst = diff_dst;
    contract_.diff_src = diff_src;
    diff_dst_view_ = with_dims_of(diff_dst, diff_src);
    backward_ = Reorder(engine, diff_dst_view_, diff_src);
    contract_.diff_src_is_diff_dst = !backward_.needed();
    if (backward_.needed()) backward_scratch_ = contract_.add_buffer(backward_.scratch(), Life::backward);
  }

  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override {
    Call forward;
    if (forward_.needed())
      forward = forward_.bind(bindings.stream, bindings.src, view(bindings.dst, dst_view_),
                              bindings.buffer(forward_scratch_));
    Call backward;
    if (backward_.needed())
      backward = backward_.bind(bindings.stream, view(bindings.diff_dst, diff_dst_view_), bindings.diff_src,
                                bindings.buffer(backward_scratch_));
    return std::make_unique<LayoutChangeRunner>(std::move(forward), std::move(backward));
  }

 private:
  [[nodiscard]] dnnl::memory view(const dnnl::memory& memory, const Desc& desc) const {
    return {desc, engine_, memory.get_data_handle()};
  }

  dnnl::engine engine_;
  Reorder forward_, backward_;
  Desc dst_view_, diff_dst_view_;
  int forward_scratch_ = -1, backward_scratch_ = -1;
};

}  // namespace

std::unique_ptr<Block> make_layout_change(const dnnl::engine& engine, const Desc& src, const Desc& dst,
                                          const Desc& diff_dst, const Desc& diff_src) {
  return std::make_unique<LayoutChange>(engine, src, dst, diff_dst, diff_src);
}

std::unique_ptr<Block> make_block(const FlattenOp& op, const Site& site) {
  const Desc flat = plain(Dims{site.samples, op.count});
  const Desc none;
  return site.data_gradient ? make_layout_change(site.engine, site.offered, flat, flat, site.offered)
                            : make_layout_change(site.engine, site.offered, flat, none, none);
}

}  // namespace lockstep::device::cpu
