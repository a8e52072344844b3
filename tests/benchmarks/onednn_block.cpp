#include "onednn_block.h"

#include <algorithm>

namespace lockstep {

using namespace device::cpu;

namespace {

using Forward = dnnl::convolution_forward;
using BackwardWeights = dnnl::convolution_backward_weights;
using BackwardData = dnnl::convolution_backward_data;
constexpr auto direct = dnnl::algorithm::convolution_direct;

}  // namespace

dnnl::memory OnednnBlock::memory(const Desc& desc) {
  if (desc.is_zero() || desc.get_size() == 0) return {};
  dnnl::memory memory(desc, engine_);
  auto* bytes = static_cast<std::uint8_t*>(memory.get_data_handle());
  std::fill_n(bytes, desc.get_size(), std::uint8_t{0});
  return memory;
}

OnednnBlock::OnednnBlock(const fused::Problem& p, bool data_gradient) {
  const Desc src = any_layout({p.samples, p.in_channels, p.in_height, p.in_width});
  const Desc weights = any_layout({p.out_channels, p.in_channels, p.kernel, p.kernel});
  const Desc bias = plain(Dims{p.out_channels});
  const Desc dst = any_layout({p.samples, p.out_channels, p.out_height, p.out_width});
  const Dims stride{1, 1};
  const Dims before{p.pad_top, p.pad_left};
  const Dims after{p.out_height + p.kernel - 1 - p.in_height - p.pad_top,
                   p.out_width + p.kernel - 1 - p.in_width - p.pad_left};
  dnnl::primitive_attr attributes = common_attributes();
  append_relu(attributes);
  const auto convolve = describe<Forward>(engine_, attributes, forward_kind, direct, src, weights, bias, dst,
                                          stride, before, after);
  const dnnl::memory x = memory(convolve.src_desc());
  const dnnl::memory y = memory(convolve.dst_desc());
  forward_.emplace_back(Forward(convolve), stream_,
                        std::initializer_list<std::pair<int, dnnl::memory>>{
                            {DNNL_ARG_SRC, x},
                            {DNNL_ARG_WEIGHTS, memory(convolve.weights_desc())},
                            {DNNL_ARG_BIAS, memory(bias)},
                            {DNNL_ARG_DST, y},
                            {DNNL_ARG_SCRATCHPAD, memory(convolve.scratchpad_desc())}});
  diff_conv_ = memory(convolve.dst_desc());
  if (p.pool) add_pool(p, y);

  const auto gradient = describe_backward<BackwardWeights>(engine_, convolve, direct, src, weights, bias, dst,
                                                           stride, before, after);
  backward_.emplace_back(BackwardWeights(gradient), stream_,
                         std::initializer_list<std::pair<int, dnnl::memory>>{
                             {DNNL_ARG_SRC, memory(gradient.src_desc())},
                             {DNNL_ARG_DIFF_DST, memory(gradient.diff_dst_desc())},
                             {DNNL_ARG_DIFF_WEIGHTS, memory(gradient.diff_weights_desc())},
                             {DNNL_ARG_DIFF_BIAS, memory(bias)},
                             {DNNL_ARG_SCRATCHPAD, memory(gradient.scratchpad_desc())}});
  if (!data_gradient) return;
  const auto data =
      describe_backward<BackwardData>(engine_, convolve, direct, src, weights, dst, stride, before, after);
  backward_.emplace_back(BackwardData(data), stream_,
                         std::initializer_list<std::pair<int, dnnl::memory>>{
                             {DNNL_ARG_DIFF_DST, memory(data.diff_dst_desc())},
                             {DNNL_ARG_WEIGHTS, memory(data.weights_desc())},
                             {DNNL_ARG_DIFF_SRC, memory(data.diff_src_desc())},
                             {DNNL_ARG_SCRATCHPAD, memory(data.scratchpad_desc())}});
}

void OnednnBlock::add_pool(const fused::Problem& p, const dnnl::memory& src) {
  const Window window{.stride = {2, 2}, .size = {2, 2}, .padding_before = {0, 0}, .padding_after = {0, 0}};
  constexpr auto algorithm = dnnl::algorithm::pooling_max;
  const auto pool =
      describe_pooling(engine_, dnnl::prop_kind::forward_training, algorithm, src.get_desc(),
                       any_layout({p.samples, p.out_channels, p.dst_height(), p.dst_width()}), window);
  const auto back =
      describe_pooling_backward(engine_, pool, algorithm, src.get_desc(), pool.dst_desc(), window);
  const dnnl::memory winners = memory(pool.workspace_desc());
  forward_.emplace_back(dnnl::pooling_forward(pool), stream_,
                        std::initializer_list<std::pair<int, dnnl::memory>>{
                            {DNNL_ARG_SRC, src},
                            {DNNL_ARG_DST, memory(pool.dst_desc())},
                            {DNNL_ARG_WORKSPACE, winners},
                            {DNNL_ARG_SCRATCHPAD, memory(pool.scratchpad_desc())}});
  backward_.emplace_back(dnnl::pooling_backward(back), stream_,
                         std::initializer_list<std::pair<int, dnnl::memory>>{
                             {DNNL_ARG_DIFF_DST, memory(pool.dst_desc())},
                             {DNNL_ARG_DIFF_SRC, diff_conv_},
                             {DNNL_ARG_WORKSPACE, winners},
                             {DNNL_ARG_SCRATCHPAD, memory(back.scratchpad_desc())}});
}

void OnednnBlock::forward() const {
  for (const Call& call : forward_) call.run();
}
void OnednnBlock::backward() const {
  for (const Call& call : backward_) call.run();
}

}  // namespace lockstep
