// The gradients from alive outputs where a run of taps slides along a row of cells in registers.
#include <gtest/gtest.h>

#include <tuple>
#include <utility>

#include "device/fused_oracle.h"

namespace lockstep::testing {
namespace {

/// In the sample itself, or in a copy with the padding around it. An odd last row and column are left out.
FusedCase sliding_case(std::int64_t kernel, std::int64_t in_channels, std::int64_t in_width,
                       std::int64_t out_channels, bool pads) {
  FusedCase one = padded_case(Way::winograd4, {.samples = 3,
                                               .in_channels = in_channels,
                                               .in_height = 11,
                                               .in_width = in_width,
                                               .out_channels = out_channels,
                                               .kernel = kernel,
                                               .relu = true,
                                               .pool = true});
  if (pads) return one;
  one.problem.pad_top = one.problem.pad_left = 0;
  one.problem.out_height -= kernel - 1;
  one.problem.out_width -= kernel - 1;
  return one;
}

/// Channels fill whole vectors of some instruction set, or of none; of more than 64 output channels lists are
/// made in parts.
TEST(FusedRuns, agree_with_loops_and_each_other_where_they_slide) {
  const auto all = fused::all_kernels();
  for (const auto& [kernel, in_channels] : {std::pair{5, 8},
                                            {5, 16},
                                            {5, 20},
                                            {5, 24},
                                            {5, 32},
                                            {5, 48},
                                            {3, 16},
                                            {3, 24},
                                            {3, 32},
                                            {3, 40},
                                            {3, 48},
                                            {3, 64},
                                            {3, 80}})
    for (const auto& [in_width, out_channels, pads] :
         {std::tuple{14, 18, false}, {15, 18, false}, {15, 18, true}, {14, 70, true}, {15, 70, false}}) {
      const FusedCase one = sliding_case(kernel, in_channels, in_width, out_channels, pads);
      if (kernel * kernel * in_channels * out_channels > 64 * 1024) continue;  // Winograd's way
      SCOPED_TRACE(one.text());
      FusedInputs inputs = draw_inputs(one, 1);
      let_few_live(one, inputs);
      const FusedOutputs first = run_fused(all.front(), one, inputs);
      ASSERT_TRUE(goes_by_the_alive(one, first.record));
      EXPECT_GT(alive_share(first.record), 0.05);
      for (const fused::Kernels& kernels : all) {
        SCOPED_TRACE(kernels.instruction_set);
        const FusedOutputs actual = run_fused(kernels, one, inputs);
        expect_within_bounds(one, inputs, actual);
        expect_same_outputs(actual, first);
        if (HasFatalFailure()) return;
      }
    }
}

}  // namespace
}  // namespace lockstep::testing
