#pragma once

#include <dnnl.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

/// All that Lockstep says to oneDNN beside the primitives themselves, and the one place that knows how its
/// C++ API 3 differs from 2.
namespace lockstep::device::cpu {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

/// Extents of a tensor (both APIs have them, under different names).
Dims dims_of(const Desc& desc);
/// Rows first, no padding: the layout of images, slabs and flattened activations.
Desc plain(const Dims& dims);
/// Images' channels innermost: N, H, W, C in memory, with the extents of N, C, H, W.
Desc channels_last(const Dims& dims);
/// "Whatever suits the primitive best."
Desc any_layout(const Dims& dims);
Desc bytes(std::int64_t count);
/// True when the layout rounds an extent up, so that the buffer holds cells that belong to no element.
/// oneDNN relies on their being zero and keeps them so.
bool has_padding(const Desc& desc);
/// Floats in the buffer, padding included.
std::int64_t floats_of(const Desc& desc);

/// What all primitives share: scratch memory is ours (a primitive shared by threads would otherwise share
/// it), no reduced precision whatever the environment says, and the deterministic variant where there is a
/// choice.
dnnl::primitive_attr common_attributes();
void append_relu(dnnl::primitive_attr& attributes);

/// Layers with weights are planned for training even where they only evaluate: the numbers are then the same
/// in both, and oneDNN's kernels for inference alone are not to be trusted (3.7.2 with AVX-512 convolves
/// 1×5×6 with 8 filters of 4×5, strides 1 and 3, padding 2, 3, 1, 0 into numbers that are plainly wrong).
constexpr auto forward_kind = dnnl::prop_kind::forward_training;

/// The primitive descriptor for these arguments, in the order in which both APIs take them.
template <class Primitive, class... Args>
typename Primitive::primitive_desc describe(const dnnl::engine& engine,
                                            const dnnl::primitive_attr& attributes, const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine, args..., attributes);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), attributes, engine);
#endif
}

/// Likewise for a backward primitive, which takes its forward one's descriptor as a hint.
template <class Primitive, class Forward, class... Args>
typename Primitive::primitive_desc describe_backward(const dnnl::engine& engine, const Forward& forward,
                                                     const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine, args..., forward, common_attributes());
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), common_attributes(), engine,
                                            forward);
#endif
}

/// Geometry of a pooling window, height first.
struct Window {
  Dims stride, size, padding_before, padding_after;
};
dnnl::pooling_forward::primitive_desc describe_pooling(const dnnl::engine& engine, dnnl::prop_kind kind,
                                                       dnnl::algorithm algorithm, const Desc& src,
                                                       const Desc& dst, const Window& window);
dnnl::pooling_backward::primitive_desc describe_pooling_backward(
    const dnnl::engine& engine, const dnnl::pooling_forward::primitive_desc& forward,
    dnnl::algorithm algorithm, const Desc& diff_src, const Desc& diff_dst, const Window& window);

float* floats(const dnnl::memory& memory);
/// Points `memory` at data that oneDNN will only read.
void set_source(dnnl::memory& memory, const float* data);

/// A primitive with its arguments, prepared once, so that running it costs our side nothing. Absent memory
/// (no bias, no scratch) is left out of the arguments.
class Call {
 public:
  Call() = default;
  Call(dnnl::primitive primitive, const dnnl::stream& stream,
       std::initializer_list<std::pair<int, dnnl::memory>> arguments);
  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(primitive_); }
  /// Returns when it is done. Throws dnnl::error.
  void run() const;

 private:
  dnnl::primitive primitive_;
  dnnl::stream stream_;
  std::vector<dnnl::memory> memories_;  ///< keeps alive what the arguments point to
  std::vector<dnnl_exec_arg_t> arguments_;
};

/// A planned change of layout. Nothing to do where both are the same.
class Reorder {
 public:
  Reorder() = default;
  Reorder(const dnnl::engine& engine, const Desc& from, const Desc& to);
  [[nodiscard]] bool needed() const { return static_cast<bool>(primitive_); }
  [[nodiscard]] const Desc& scratch() const { return scratch_; }
  [[nodiscard]] const std::string& implementation() const { return implementation_; }
  [[nodiscard]] Call bind(const dnnl::stream& stream, const dnnl::memory& from, const dnnl::memory& to,
                          const dnnl::memory& scratch) const;

 private:
  dnnl::primitive primitive_;
  Desc scratch_;
  std::string implementation_;
};

}  // namespace lockstep::device::cpu
