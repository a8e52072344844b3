// The direct kernels where images have a background: what meets zeros only is left out, which must not show.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "device/fused_oracle.h"

namespace lockstep::testing {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

FusedCase direct_case(const fused::Problem& problem) {
  return padded_case(Way::direct, problem);
}

/// Sets a number of a sample's pixel, channels-last.
float& pixel(const fused::Problem& p, std::vector<float>& x, std::int64_t sample, std::int64_t row,
             std::int64_t column, std::int64_t channel) {
  const std::int64_t cell = (sample * p.in_height + row) * p.in_width + column;
  return x[static_cast<std::size_t>(cell * p.in_channels + channel)];
}

/// Two samples that are the same in their first columns, zeros of both signs among them. To the right of
/// these one has no zeros, and the other one nothing else.
FusedInputs draw_dense_and_empty(const FusedCase& one, std::int64_t shared_columns) {
  const fused::Problem& p = one.problem;
  FusedInputs inputs = draw_inputs(one, 1);
  std::mt19937 generator(3);
  for (std::int64_t row = 0; row < p.in_height; ++row)
    for (std::int64_t column = 0; column < p.in_width; ++column)
      for (std::int64_t c = 0; c < p.in_channels; ++c) {
        float& dense = pixel(p, inputs.x, 0, row, column, c);
        float& empty = pixel(p, inputs.x, 1, row, column, c);
        const auto number = generator();
        const float zero = number % 2 == 0 ? 0.0F : -0.0F;
        if (column < shared_columns) {
          if (number % 3 != 0) dense = zero;
          empty = dense;
        } else {
          empty = zero;
        }
      }
  return inputs;
}

/// Of two samples: the first window columns have the same outputs and records.
void expect_same_windows(const FusedCase& one, const FusedOutputs& actual, std::int64_t columns) {
  const fused::Problem& p = one.problem;
  const std::size_t sample = actual.y.size() / 2;
  std::int64_t not_zero = 0;
  for (std::int64_t row = 0; row < p.dst_height(); ++row)
    for (std::int64_t i = 0; i < columns * p.out_channels; ++i) {
      const auto at = static_cast<std::size_t>(row * p.dst_width() * p.out_channels + i);
      ASSERT_EQ(std::bit_cast<std::uint32_t>(actual.y[at]),
                std::bit_cast<std::uint32_t>(actual.y[sample + at]))
          << row << " " << i;
      ASSERT_EQ(actual.record[at], actual.record[sample + at]) << row << " " << i;
      not_zero += actual.y[at] != 0 ? 1 : 0;
    }
  EXPECT_GT(not_zero, p.out_channels);
}

/// Which zeros are left out depends on the sample, and on the windows that go at a time. The last window that
/// is compared has a neighbour that differs.
TEST(FusedZeros, give_the_same_bits_whatever_else_is_in_the_sample) {
  constexpr std::int64_t shared_columns = 8;
  for (const std::int64_t kernel : {3, 5})
    for (const std::int64_t in_channels : {1, 3})
      for (const std::int64_t out_channels : {8, 18, 24, 40})
        for (const bool relu : {false, true}) {
          const FusedCase one = direct_case({.samples = 2,
                                             .in_channels = in_channels,
                                             .in_height = 9,
                                             .in_width = 26,
                                             .out_channels = out_channels,
                                             .kernel = kernel,
                                             .relu = relu,
                                             .pool = true});
          const FusedInputs inputs = draw_dense_and_empty(one, shared_columns);
          for (const fused::Kernels& kernels : fused::all_kernels()) {
            SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
            const FusedOutputs actual = run_fused(kernels, one, inputs);
            expect_within_bounds(one, inputs, actual);
            expect_same_windows(one, actual, (shared_columns - kernel / 2) / 2);
            if (HasFatalFailure()) return;
          }
        }
}

/// A bit of the map stands for a tap, and wide images have them in several words. Each sample has one pixel,
/// in another column, so that no other pixel makes a tap count.
TEST(FusedZeros, are_told_from_single_pixels_of_wide_images) {
  for (const std::int64_t kernel : {3, 5})
    for (const bool pool : {false, true})
      for (const std::int64_t width : {29, 30, 61, 62, 67}) {
        const FusedCase one = direct_case({.samples = width,
                                           .in_channels = 1,
                                           .in_height = 6,
                                           .in_width = width,
                                           .out_channels = 8,
                                           .kernel = kernel,
                                           .pool = pool});
        FusedInputs inputs = draw_inputs(one, 1);
        inputs.x.assign(inputs.x.size(), 0);
        for (std::int64_t column = 0; column < width; ++column)
          pixel(one.problem, inputs.x, column, column % 6, column, 0) = 1;
        for (const fused::Kernels& kernels : fused::all_kernels()) {
          SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
          expect_within_bounds(one, inputs, run_fused(kernels, one, inputs));
          if (HasFailure()) return;
        }
      }
}

/// One workspace may serve both passes, whose parts differ.
TEST(FusedZeros, have_room_for_their_map_in_either_workspace) {
  for (const std::int64_t kernel : {3, 5})
    for (const bool pool : {false, true})
      for (const auto& [height, width] : {std::pair{1000, 8}, std::pair{448, 448}}) {
        const FusedCase one = direct_case({.samples = 1,
                                           .in_channels = 2,
                                           .in_height = height,
                                           .in_width = width,
                                           .out_channels = 8,
                                           .kernel = kernel,
                                           .pool = pool});
        for (const fused::Kernels& kernels : fused::all_kernels()) {
          const fused::Layout layout = method_of(kernels, Way::direct, kernel).layout(one.problem, false);
          EXPECT_GE(layout.backward_workspace, layout.forward_workspace) << one.text();
        }
      }
}

/// Planes of zeros in front of one that is not.
TEST(FusedZeros, of_a_plane_leave_the_next_ones) {
  for (const std::int64_t kernel : {3, 5})
    for (std::int64_t only = 0; only < 3; ++only) {
      const FusedCase one = direct_case({.samples = 1,
                                         .in_channels = 3,
                                         .in_height = 8,
                                         .in_width = 8,
                                         .out_channels = 18,
                                         .kernel = kernel,
                                         .relu = true,
                                         .pool = true});
      FusedInputs inputs = draw_inputs(one, 1);
      for (std::size_t i = 0; i < inputs.x.size(); ++i)
        if (static_cast<std::int64_t>(i % 3) != only) inputs.x[i] = 0;
      for (const fused::Kernels& kernels : fused::all_kernels()) {
        SCOPED_TRACE(one.text() + ", plane " + std::to_string(only) + ", " + kernels.instruction_set);
        expect_within_bounds(one, inputs, run_fused(kernels, one, inputs));
      }
    }
}

/// A product that underflows makes -0 of a sum. Whether it then meets the zeros of the background depends on
/// how many windows are computed at a time, and must not show.
TEST(FusedZeros, are_not_negative) {
  for (const bool has_bias : {false, true}) {
    FusedCase one = direct_case({.samples = 1,
                                 .in_channels = 1,
                                 .in_height = 8,
                                 .in_width = 8,
                                 .out_channels = 24,
                                 .kernel = 5,
                                 .pool = true});
    one.problem.pad_top = one.problem.pad_left = 0;
    one.problem.out_height = one.problem.out_width = 4;
    one.bias = has_bias;
    FusedInputs inputs = draw_inputs(one, 1);
    inputs.bias.assign(inputs.bias.size(), -0.0F);
    inputs.x.assign(inputs.x.size(), 0);
    for (const std::size_t cell : {0U, 1U, 8U, 9U}) inputs.x[cell] = 1e-30F;
    inputs.x[4 * 8 + 7] = 1;
    for (std::size_t i = 0; i < inputs.weights.size(); ++i) inputs.weights[i] = i % 25 < 10 ? -1e-30F : 1;
    for (const fused::Kernels& kernels : fused::all_kernels()) {
      SCOPED_TRACE(kernels.instruction_set);
      for (const float y : run_fused(kernels, one, inputs).y) ASSERT_FALSE(std::signbit(y));
    }
  }
}

/// What the four outputs of a window are whose numbers are all equal.
struct Equal {
  float bias;
  int winner;          ///< with a pool
  int winner_of_relu;  ///< with a pool behind a ReLU
  int alive_of_relu;   ///< behind a ReLU alone: a bit for each
};
constexpr std::array equal_outputs{Equal{1, 0, 0, 15},       Equal{-1, 0, 4, 0},   Equal{0.0F, 0, 4, 0},
                                   Equal{-0.0F, 0, 4, 0},    Equal{nan, 3, 3, 15}, Equal{infinity, 0, 0, 15},
                                   Equal{-infinity, 0, 4, 0}};

TEST(FusedZeros, alone_give_the_bias) {
  for (const std::int64_t kernel : {3, 5})
    for (const bool relu : {false, true})
      for (const bool pool : {false, true})
        for (const bool has_bias : {false, true}) {
          FusedCase one = direct_case({.samples = 1,
                                       .in_channels = 1,
                                       .in_height = 8,
                                       .in_width = 8,
                                       .out_channels = 20,
                                       .kernel = kernel,
                                       .relu = relu,
                                       .pool = pool});
          one.bias = has_bias;
          FusedInputs inputs = draw_inputs(one, 1);
          inputs.x.assign(inputs.x.size(), 0);
          const auto equal_of = [&](std::size_t index) {
            return has_bias ? equal_outputs[index % inputs.bias.size() % equal_outputs.size()]
                            : equal_outputs[2];
          };
          for (std::size_t c = 0; c < inputs.bias.size(); ++c) inputs.bias[c] = equal_of(c).bias;
          for (const fused::Kernels& kernels : fused::all_kernels()) {
            SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
            const FusedOutputs actual = run_fused(kernels, one, inputs);
            for (std::size_t i = 0; i < actual.y.size(); ++i) {
              const Equal equal = equal_of(i);
              if (std::isnan(equal.bias)) {
                ASSERT_TRUE(std::isnan(actual.y[i])) << i;
              } else {
                ASSERT_EQ(actual.y[i], relu && equal.bias < 0 ? 0 : equal.bias) << i;
                ASSERT_TRUE(equal.bias != 0 || !std::signbit(actual.y[i])) << i;
              }
            }
            for (std::size_t i = 0; i < actual.record.size(); ++i) {
              const Equal equal = equal_of(i);
              int record = 0;
              if (pool) record = relu ? equal.winner_of_relu : equal.winner;
              if (!pool && relu) record = equal.alive_of_relu;
              ASSERT_EQ(int{actual.record[i]}, record) << i;
            }
          }
        }
}

/// Zero times infinity is NaN.
TEST(FusedZeros, count_where_a_weight_is_not_finite) {
  for (const std::int64_t kernel : {3, 5})
    for (const float value : {infinity, nan}) {
      const FusedCase one = direct_case({.samples = 1,
                                         .in_channels = 1,
                                         .in_height = 8,
                                         .in_width = 8,
                                         .out_channels = 18,
                                         .kernel = kernel,
                                         .pool = true});
      constexpr std::size_t channel = 7;
      FusedInputs inputs = draw_inputs(one, 1);
      inputs.x.assign(inputs.x.size(), 0);
      inputs.weights[channel * static_cast<std::size_t>(kernel * kernel) + 4] = value;
      for (const fused::Kernels& kernels : fused::all_kernels()) {
        SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
        const FusedOutputs actual = run_fused(kernels, one, inputs);
        for (std::size_t i = 0; i < actual.y.size(); ++i)
          ASSERT_EQ(std::isnan(actual.y[i]), i % inputs.bias.size() == channel) << i;
      }
    }
}

}  // namespace
}  // namespace lockstep::testing
