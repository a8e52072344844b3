// The direct kernels where images have a background: what meets zeros only is left out, which must not show.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
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

/// Where taps are left out one by one, it is by sample, and the bits do not depend on it.
TEST(FusedZeros, give_the_same_bits_whatever_else_is_in_the_sample) {
  constexpr std::int64_t shared_columns = 10;
  for (const std::int64_t kernel : {3, 5})
    for (const std::int64_t in_channels : {1, 3})
      for (const std::int64_t out_channels : {8, 18, 24, 40}) {
        const FusedCase one = direct_case({.samples = 2,
                                           .in_channels = in_channels,
                                           .in_height = 9,
                                           .in_width = 26,
                                           .out_channels = out_channels,
                                           .kernel = kernel,
                                           .relu = true,
                                           .pool = true});
        const FusedInputs inputs = draw_dense_and_empty(one, shared_columns);
        for (const fused::Kernels& kernels : fused::all_kernels()) {
          SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
          const FusedOutputs actual = run_fused(kernels, one, inputs);
          expect_within_bounds(one, inputs, actual);
          std::int64_t alive = 0;
          for (std::int64_t row = 0; row < one.problem.dst_height(); ++row)
            for (std::int64_t column = 0; 2 * column + 1 + kernel / 2 < shared_columns; ++column)
              for (std::int64_t c = 0; c < out_channels; ++c) {
                const auto of_sample = [&](std::int64_t sample) {
                  return static_cast<std::size_t>(
                      ((sample * one.problem.dst_height() + row) * one.problem.dst_width() + column) *
                          out_channels +
                      c);
                };
                ASSERT_EQ(actual.y[of_sample(0)], actual.y[of_sample(1)]) << row << " " << column << " " << c;
                ASSERT_EQ(actual.record[of_sample(0)], actual.record[of_sample(1)]);
                alive += actual.y[of_sample(0)] != 0 ? 1 : 0;
              }
          EXPECT_GT(alive, out_channels);
        }
      }
}

/// A bit of the map stands for a tap. Wide images have bits in many words, and an image of few pixels shows
/// each that is wrong.
TEST(FusedZeros, are_told_from_single_pixels_of_wide_images) {
  for (const std::int64_t kernel : {3, 5})
    for (const bool pool : {false, true})
      for (const std::int64_t width : {30, 31, 63, 67, 130}) {
        const FusedCase one = direct_case({.samples = 2,
                                           .in_channels = 1,
                                           .in_height = 6,
                                           .in_width = width,
                                           .out_channels = 8,
                                           .kernel = kernel,
                                           .pool = pool});
        FusedInputs inputs = draw_inputs(one, 1);
        std::mt19937 generator(static_cast<std::uint32_t>(width));
        for (float& x : inputs.x)
          if (generator() % 8 != 0) x = 0;
        for (const fused::Kernels& kernels : fused::all_kernels()) {
          SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
          expect_within_bounds(one, inputs, run_fused(kernels, one, inputs));
          if (HasFailure()) return;
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
