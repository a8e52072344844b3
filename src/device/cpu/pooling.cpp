#include "device/cpu/pooling.h"

#include "device/cpu/relu_mask.h"

namespace lockstep::device::cpu {
namespace {

class PoolingRunner final : public BlockRunner {
 public:
  Call forward_call, backward_call;
  ReluMask mask;

  void forward(const Pass& /*pass*/) override { forward_call.run(); }
  void backward(const Pass& /*pass*/) override {
    mask.apply();
    backward_call.run();
  }
};

class Pooling final : public Block {
 public:
  Pooling(const Pool2dOp& op, const Site& site) : masks_(site.masks_relu && site.data_gradient) {
    require_cells(op, site.node);
    const Window window{.stride = {op.stride_height, op.stride_width},
                        .size = {op.size_height, op.size_width},
                        .padding_before = {op.pad_top, op.pad_left},
                        .padding_after = {op.pad_bottom, op.pad_right}};
    const auto algorithm = op.kind == Pool2dOp::Kind::max ? dnnl::algorithm::pooling_max
                                                          : dnnl::algorithm::pooling_avg_exclude_padding;
    // Without a backward pass no record of the winners is needed.
    const auto kind =
        site.data_gradient ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
    const auto forward = describe_pooling(site.engine, kind, algorithm, site.offered,
                                          any_layout(site.dims(site.node.out)), window);
    forward_ = dnnl::pooling_forward(forward);
    contract_.src = forward.src_desc();
    contract_.dst = contract_.diff_dst = forward.dst_desc();
    forward_scratch_ = contract_.add_buffer(forward.scratchpad_desc(), Life::forward);
    std::string data_name;
    if (site.data_gradient) {
      const auto backward = describe_pooling_backward(site.engine, forward, algorithm, contract_.src,
                                                      contract_.diff_dst, window);
      backward_ = dnnl::pooling_backward(backward);
      workspace_ = contract_.add_buffer(forward.workspace_desc(), Life::whole);
      backward_scratch_ = contract_.add_buffer(backward.scratchpad_desc(), Life::backward);
      contract_.diff_src = backward.diff_src_desc();
      contract_.backward_reads_dst = masks_;
      data_name = backward.impl_info_str();
    }
    contract_.implementations = {name_implementations(forward.impl_info_str(), "", data_name)};
  }

  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override {
    auto runner = std::make_unique<PoolingRunner>();
    runner->forward_call = Call(forward_, bindings.stream,
                                {{DNNL_ARG_SRC, bindings.src},
                                 {DNNL_ARG_DST, bindings.dst},
                                 {DNNL_ARG_WORKSPACE, bindings.buffer(workspace_)},
                                 {DNNL_ARG_SCRATCHPAD, bindings.buffer(forward_scratch_)}});
    if (!backward_) return runner;
    if (masks_) runner->mask = ReluMask(bindings.dst, bindings.diff_dst);
    runner->backward_call = Call(backward_, bindings.stream,
                                 {{DNNL_ARG_DIFF_DST, bindings.diff_dst},
                                  {DNNL_ARG_DIFF_SRC, bindings.diff_src},
                                  {DNNL_ARG_WORKSPACE, bindings.buffer(workspace_)},
                                  {DNNL_ARG_SCRATCHPAD, bindings.buffer(backward_scratch_)}});
    return runner;
  }

 private:
  dnnl::primitive forward_, backward_;
  bool masks_;
  int workspace_ = -1, forward_scratch_ = -1, backward_scratch_ = -1;
};

}  // namespace

std::unique_ptr<Block> make_block(const Pool2dOp& op, const Site& site) {
  return std::make_unique<Pooling>(op, site);
}

}  // namespace lockstep::device::cpu
