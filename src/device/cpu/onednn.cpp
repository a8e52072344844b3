#include "device/cpu/onednn.h"

#include <fmt/core.h>

#include <functional>
#include <numeric>

#include "base/check.h"
#include "device/backend.h"

namespace lockstep::device {

std::string cpu_instruction_set() {
  switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
      return "sse41";
    case dnnl_cpu_isa_avx:
      return "avx";
    case dnnl_cpu_isa_avx2:
      return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
      return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core:
      return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx:
      return "avx512_core_amx";
#if DNNL_VERSION_MAJOR >= 3
    case dnnl_cpu_isa_avx2_vnni_2:
      return "avx2_vnni_2";
    case dnnl_cpu_isa_avx512_core_fp16:
      return "avx512_core_fp16";
    case dnnl_cpu_isa_avx512_core_amx_fp16:
      return "avx512_core_amx_fp16";
#endif
    default:
      break;
  }
  return fmt::format("isa {:#x}", static_cast<unsigned>(dnnl_get_effective_cpu_isa()));
}

std::string onednn_version() {
  const dnnl_version_t& version = *dnnl_version();
  return fmt::format("{}.{}.{}", version.major, version.minor, version.patch);
}

}  // namespace lockstep::device

namespace lockstep::device::cpu {
namespace {

using Tag = dnnl::memory::format_tag;

Desc with_tag(const Dims& dims, Tag tag) {
  return {dims, dnnl::memory::data_type::f32, tag};
}

}  // namespace

Dims dims_of(const Desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return desc.get_dims();
#else
  return desc.dims();
#endif
}

Desc plain(const Dims& dims) {
  Dims strides(dims.size(), 1);
  for (std::size_t axis = dims.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * dims[axis];
  return {dims, dnnl::memory::data_type::f32, strides};
}

Desc channels_last(const Dims& dims) {
  return with_tag(dims, Tag::nhwc);
}

Desc any_layout(const Dims& dims) {
  return with_tag(dims, Tag::any);
}

Desc bytes(std::int64_t count) {
  return {{count}, dnnl::memory::data_type::u8, Tag::a};
}

bool has_padding(const Desc& desc) {
  const Dims dims = dims_of(desc);
  return floats_of(desc) != std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>());
}

std::int64_t floats_of(const Desc& desc) {
  return static_cast<std::int64_t>(desc.get_size() / sizeof(float));
}

dnnl::primitive_attr common_attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 4)
  attributes.set_deterministic(true);
#endif
  return attributes;
}

void append_relu(dnnl::primitive_attr& attributes) {
  dnnl::post_ops operations;
#if DNNL_VERSION_MAJOR >= 3
  operations.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
#else
  operations.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
#endif
  attributes.set_post_ops(operations);
}

dnnl::pooling_forward::primitive_desc describe_pooling(const dnnl::engine& engine, dnnl::prop_kind kind,
                                                       dnnl::algorithm algorithm, const Desc& src,
                                                       const Desc& dst, const Window& window) {
#if DNNL_VERSION_MAJOR >= 3
  const Dims dilation(window.size.size(), 0);
  return describe<dnnl::pooling_forward>(engine, common_attributes(), kind, algorithm, src, dst,
                                         window.stride, window.size, dilation, window.padding_before,
                                         window.padding_after);
#else
  return describe<dnnl::pooling_forward>(engine, common_attributes(), kind, algorithm, src, dst,
                                         window.stride, window.size, window.padding_before,
                                         window.padding_after);
#endif
}

dnnl::pooling_backward::primitive_desc describe_pooling_backward(
    const dnnl::engine& engine, const dnnl::pooling_forward::primitive_desc& forward,
    dnnl::algorithm algorithm, const Desc& diff_src, const Desc& diff_dst, const Window& window) {
#if DNNL_VERSION_MAJOR >= 3
  const Dims dilation(window.size.size(), 0);
  return describe_backward<dnnl::pooling_backward>(engine, forward, algorithm, diff_src, diff_dst,
                                                   window.stride, window.size, dilation,
                                                   window.padding_before, window.padding_after);
#else
  return describe_backward<dnnl::pooling_backward>(engine, forward, algorithm, diff_src, diff_dst,
                                                   window.stride, window.size, window.padding_before,
                                                   window.padding_after);
#endif
}

float* floats(const dnnl::memory& memory) {
  return static_cast<float*>(memory.get_data_handle());
}

void set_source(dnnl::memory& memory, const float* data) {
  // One type of memory serves sources and destinations; which it is, the argument's name says.
  memory.set_data_handle(const_cast<float*>(data));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

Call::Call(dnnl::primitive primitive, const dnnl::stream& stream,
           std::initializer_list<std::pair<int, dnnl::memory>> arguments)
    : primitive_(std::move(primitive)), stream_(stream) {
  for (const auto& [name, memory] : arguments) {
    if (!memory) continue;
    memories_.push_back(memory);
    arguments_.push_back({name, memory.get()});
  }
}

void Call::run() const {
  dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), stream_.get(),
                                                 static_cast<int>(arguments_.size()), arguments_.data()),
                          "could not execute a primitive");
  // The OpenMP runtime is done by now; with another one our own loops must not start before the primitive
  // ends.
  dnnl::error::wrap_c_api(dnnl_stream_wait(stream_.get()), "could not wait for a primitive");
}

Reorder::Reorder(const dnnl::engine& engine, const Desc& from, const Desc& to) {
  if (from == to) return;
  const dnnl::reorder::primitive_desc desc(engine, from, engine, to, common_attributes());
  primitive_ = dnnl::reorder(desc);
  scratch_ = desc.scratchpad_desc();
  implementation_ = desc.impl_info_str();
}

Call Reorder::bind(const dnnl::stream& stream, const dnnl::memory& from, const dnnl::memory& to,
                   const dnnl::memory& scratch) const {
  if (!needed()) return {};
  return {primitive_, stream, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, scratch}}};
}

}  // namespace lockstep::device::cpu
