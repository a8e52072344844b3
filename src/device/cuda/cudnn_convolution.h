#pragma once

#include <cstdint>
#include <string_view>

#include "device/cuda/choices.h"
#include "device/cuda/libraries.h"
#include "device/network.h"

namespace lockstep::device::cuda {

using config::Precision;

/// How cuDNN computes one pass of a convolution.
template <class Algorithm>
struct ConvolutionPass {
  Algorithm algorithm = {};
  std::size_t workspace = 0;  ///< bytes of scratch memory
};
using ForwardPass = ConvolutionPass<cudnnConvolutionFwdAlgo_t>;
using DataPass = ConvolutionPass<cudnnConvolutionBwdDataAlgo_t>;
using FilterPass = ConvolutionPass<cudnnConvolutionBwdFilterAlgo_t>;

/// A convolution as cuDNN is told of it, with the algorithms for its passes. cuDNN pads the same on both
/// sides; where that will not do, it is told of an image that is padded already.
class CudnnConvolution {
 public:
  CudnnConvolution(const Conv2dOp& op, std::int64_t samples, Precision precision);

  /// Whether src is to be padded beforehand; its extents then.
  [[nodiscard]] bool pads_src() const { return pads_src_; }
  [[nodiscard]] std::int64_t src_height() const { return src_height_; }
  [[nodiscard]] std::int64_t src_width() const { return src_width_; }

  [[nodiscard]] cudnnTensorDescriptor_t src() const { return src_.get(); }
  [[nodiscard]] cudnnTensorDescriptor_t dst() const { return dst_.get(); }
  [[nodiscard]] cudnnTensorDescriptor_t bias() const { return bias_.get(); }
  [[nodiscard]] cudnnFilterDescriptor_t weight() const { return weight_.get(); }
  [[nodiscard]] cudnnConvolutionDescriptor_t convolution() const { return convolution_.get(); }

  // The algorithm that `choices` holds for a pass of this layer, or else, of those that always give the same
  // bits and need little scratch memory, the first in an order of our own or in cuDNN's; enters it into
  // `choices`. Error(no_device) where there is none, or not the recorded one.
  [[nodiscard]] ForwardPass choose_forward(cudnnHandle_t cudnn, std::string_view layer,
                                           Choices& choices) const;
  [[nodiscard]] DataPass choose_data(cudnnHandle_t cudnn, std::string_view layer, Choices& choices) const;
  [[nodiscard]] FilterPass choose_filter(cudnnHandle_t cudnn, std::string_view layer, Choices& choices) const;

 private:
  Conv2dOp op_;
  Precision precision_;
  bool pads_src_;
  std::int64_t src_height_, src_width_;
  TensorDescriptor src_, dst_, bias_;
  FilterDescriptor weight_;
  ConvolutionDescriptor convolution_;
};

}  // namespace lockstep::device::cuda
