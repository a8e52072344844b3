// NVIDIA's cuDNN itself, as far as it works without a GPU: descriptors, and the extents that it gives
// outputs.
#include <gtest/gtest.h>

#include "base/error.h"
#include "device/cuda/cudnn_convolution.h"
#include "device/layer_cases.h"

namespace lockstep::testing {
namespace {

using config::Precision;

TEST(RealCudnn, takes_convolutions_of_any_geometry_as_we_describe_them) {
  int padded = 0;
  for (std::uint32_t seed = 0; seed < 400; ++seed) {
    const ConvolutionCase one = draw_convolution(seed);
    SCOPED_TRACE(one.text());
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
      // Throws where cuDNN would give y other extents.
      const device::cuda::CudnnConvolution convolution(one.op, one.samples, precision);
      padded += convolution.pads_src() ? 1 : 0;
    }
  }
  // Both kinds are among them.
  EXPECT_GT(padded, 100);
  EXPECT_LT(padded, 1100);
}

TEST(RealCudnn, says_what_it_does_not_like) {
  try {
    static_cast<void>(device::cuda::describe_tensor(CUDNN_DATA_FLOAT, 1, 0, 5, 5));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    const std::string text = error.what();
    EXPECT_TRUE(text.starts_with("cuDNN: cudnnSetTensor4dDescriptor failed: CUDNN_STATUS_BAD_PARAM")) << text;
  }
}

}  // namespace
}  // namespace lockstep::testing
