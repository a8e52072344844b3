// The fused kernels where numbers are special: equal outputs, zeros, NaN and infinity.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "device/fused_oracle.h"

namespace lockstep::testing {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr std::array every_way{Way::winograd2, Way::winograd4, Way::direct};

/// Of Winograd's filters only those of F(2, 3) have no thirds.
bool is_exact_for_integers(const FusedCase& one) {
  return one.way == Way::direct || (one.way == Way::winograd2 && one.problem.kernel == 3);
}

FusedCase small_case(Way way, std::int64_t kernel, bool relu, bool pool) {
  return padded_case(way, {.samples = 2,
                           .in_channels = 3,
                           .in_height = 8,
                           .in_width = 7,
                           .out_channels = 18,
                           .kernel = kernel,
                           .relu = relu,
                           .pool = pool});
}

std::vector<FusedCase> small_cases() {
  std::vector<FusedCase> cases;
  for (const Way way : every_way)
    for (const std::int64_t kernel : {3, 5})
      for (const bool relu : {false, true})
        for (const bool pool : {false, true}) cases.push_back(small_case(way, kernel, relu, pool));
  return cases;
}

/// Small integers make every sum exact, so equal outputs are equal in floats too.
TEST(FusedTies, the_first_of_equal_outputs_wins) {
  std::int64_t ties = 0;
  for (FusedCase one : small_cases()) {
    if (!one.problem.pool || !is_exact_for_integers(one)) continue;
    SCOPED_TRACE(one.text());
    FusedInputs inputs = draw_inputs(one, 3);
    for (auto* values : {&inputs.x, &inputs.weights, &inputs.bias})
      for (float& value : *values) value = std::round(value);
    for (const fused::Kernels& kernels : fused::all_kernels()) {
      const FusedOutputs actual = run_fused(kernels, one, inputs);
      const FusedExpected expected = expect_fused(one, inputs, actual.record);
      const fused::Problem& p = one.problem;
      for (std::size_t i = 0; i < actual.y.size(); ++i) {
        ASSERT_EQ(actual.y[i], expected.y[i]) << i;
        const auto channel = static_cast<std::int64_t>(i) % p.out_channels;
        const auto cell = static_cast<std::int64_t>(i) / p.out_channels;
        const std::int64_t row = cell / p.dst_width() % p.dst_height();
        const std::int64_t sample = cell / p.dst_width() / p.dst_height();
        const auto z = [&](int k) {
          return expected.z[static_cast<std::size_t>(
              ((sample * p.out_height + 2 * row + k / 2) * p.out_width + 2 * (cell % p.dst_width()) + k % 2) *
                  p.out_channels +
              channel)];
        };
        int first = 0;
        for (int k = 1; k < 4; ++k) {
          if (z(k) > z(first)) first = k;
          if (z(k) == z(0)) ++ties;
        }
        if (p.relu && z(first) <= 0) first = 4;
        ASSERT_EQ(int{actual.record[i]}, first) << i;
      }
    }
  }
  EXPECT_GT(ties, 1000);
}

TEST(FusedTies, outputs_that_are_all_zero_are_dead_behind_a_relu_and_equal_without) {
  for (const FusedCase& one : small_cases()) {
    SCOPED_TRACE(one.text());
    FusedInputs inputs = draw_inputs(one, 3);
    inputs.weights.assign(inputs.weights.size(), 0);
    inputs.bias.assign(inputs.bias.size(), 0);
    const FusedOutputs actual = run_fused(fused::kernels(), one, inputs);
    for (const float y : actual.y) ASSERT_EQ(y, 0);
    for (const std::uint8_t record : actual.record)
      ASSERT_EQ(record, one.problem.pool && one.problem.relu ? 4 : 0);
    double sum = 0;
    for (const float gradient : actual.dbias) sum += std::abs(gradient);
    EXPECT_EQ(sum == 0, one.problem.relu);
  }
}

/// One sample of 8×8 pixels and outputs of 4×4, or with kernels of 3, of 6×6, behind a ReLU and a pool.
FusedCase lowest_layer(std::int64_t kernel, std::int64_t channels) {
  FusedCase one = padded_case(Way::direct, {.samples = 1,
                                            .in_channels = 1,
                                            .in_height = 8,
                                            .in_width = 8,
                                            .out_channels = channels,
                                            .kernel = kernel,
                                            .relu = true,
                                            .pool = true});
  one.problem.pad_top = one.problem.pad_left = 0;
  one.problem.out_height = one.problem.out_width = 9 - kernel;
  return one;
}

void expect_not_finite_where(const std::vector<float>& actual, const std::vector<double>& expected,
                             const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(expected[i])) {
      ASSERT_FALSE(std::isfinite(actual[i]))
          << what << "[" << i << "] is " << actual[i] << ", expected " << expected[i];
    }
  }
}

/// Puts one number that is not finite into one of the inputs, at a random place.
void poison(FusedInputs& inputs, std::mt19937& generator, float value) {
  std::vector<float>* lists[] = {&inputs.x, &inputs.weights, &inputs.bias, &inputs.dy};
  auto& list = *lists[generator() % 4];
  list[generator() % list.size()] = value;
}

TEST(FusedNonFinite, reaches_every_output_that_loops_give_it_to) {
  std::mt19937 generator(5);
  for (const FusedCase& one : small_cases()) {
    for (const float value : {nan, infinity, -infinity}) {
      for (std::uint32_t seed = 0; seed < 12; ++seed) {  // some with a background of zeros
        FusedInputs inputs = draw_inputs(one, seed);
        if (seed >= 9) let_few_live(one, inputs);
        poison(inputs, generator, value);
        for (const fused::Kernels& kernels : fused::all_kernels()) {
          SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
          const FusedOutputs actual = run_fused(kernels, one, inputs);
          const FusedExpected expected = expect_fused(one, inputs, actual.record);
          expect_not_finite_where(actual.y, expected.y, "y");
          expect_not_finite_where(actual.dweights, expected.dweights, "weight gradient");
          expect_not_finite_where(actual.dbias, expected.dbias, "bias gradient");
          if (one.data_gradient) expect_not_finite_where(actual.dx, expected.dx, "dx");
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

/// In the corner of one sample in eight, so that few windows are alive all the same; in a weight; and in the
/// gradient of a window that is alive, and of one that is not.
TEST(FusedNonFinite, reaches_the_gradients_where_few_windows_are_alive) {
  for (const std::int64_t kernel : {3, 5})
    for (const bool data_gradient : {false, true})
      for (const float value : {nan, infinity, -infinity}) {
        FusedCase one = padded_case(Way::winograd4, {.samples = 8,
                                                     .in_channels = 17,
                                                     .in_height = 12,
                                                     .in_width = 12,
                                                     .out_channels = 18,
                                                     .kernel = kernel,
                                                     .relu = true,
                                                     .pool = true});
        one.data_gradient = data_gradient;
        FusedInputs finite = draw_inputs(one, 1);
        let_few_live(one, finite);
        const auto record = run_fused(fused::kernels(), one, finite).record;
        const auto first = [&](bool alive) {
          const auto found =
              std::ranges::find_if(record, [=](std::uint8_t winner) { return (winner < 4) == alive; });
          return static_cast<std::size_t>(found - record.begin());
        };
        for (const int place : {0, 1, 2, 3}) {
          FusedInputs inputs = finite;
          if (place == 0) inputs.x.front() = value;
          if (place == 1) inputs.weights.back() = value;
          if (place == 2) inputs.dy.at(first(true)) = value;
          if (place == 3) inputs.dy.at(first(false)) = value;
          for (const fused::Kernels& kernels : fused::all_kernels()) {
            SCOPED_TRACE(one.text() + ", " + kernels.instruction_set + ", place " + std::to_string(place));
            const FusedOutputs actual = run_fused(kernels, one, inputs);
            if (place != 1) {
              ASSERT_TRUE(goes_by_the_alive(one, actual.record));
            }
            const FusedExpected expected = expect_fused(one, inputs, actual.record);
            expect_not_finite_where(actual.dweights, expected.dweights, "weight gradient");
            expect_not_finite_where(actual.dbias, expected.dbias, "bias gradient");
            if (data_gradient) expect_not_finite_where(actual.dx, expected.dx, "dx");
            if (HasFatalFailure()) return;
          }
        }
      }
}

/// Windows that see zeros only are left out of the weight gradient unless their own gradient is not finite.
TEST(FusedNonFinite, reaches_the_weight_gradient_from_a_window_that_sees_zeros_only) {
  constexpr std::int64_t channels = 23;  // the last vector is not full
  for (const std::int64_t kernel : {3, 5})
    for (const std::int64_t poisoned : {std::int64_t{0}, channels - 1})
      for (const float value : {nan, infinity, -infinity}) {
        const FusedCase one = lowest_layer(kernel, channels);
        FusedInputs inputs = draw_inputs(one, 1);
        inputs.x.assign(inputs.x.size(), 0);
        inputs.bias.assign(inputs.bias.size(), 1);
        inputs.dy[static_cast<std::size_t>(channels + poisoned)] = value;  // of the second window
        for (const fused::Kernels& kernels : fused::all_kernels()) {
          SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
          const FusedOutputs actual = run_fused(kernels, one, inputs);
          const std::int64_t taps = kernel * kernel;
          for (std::int64_t i = 0; i < std::ssize(actual.dweights); ++i)
            ASSERT_EQ(std::isfinite(actual.dweights[static_cast<std::size_t>(i)]), i / taps != poisoned) << i;
        }
      }
}

TEST(FusedNonFinite, stays_a_nan_through_relu_and_pool) {
  for (const FusedCase& one : small_cases()) {
    SCOPED_TRACE(one.text());
    FusedInputs inputs = draw_inputs(one, 7);
    inputs.bias[5] = nan;
    const FusedOutputs actual = run_fused(fused::kernels(), one, inputs);
    for (std::size_t i = 0; i < actual.y.size(); ++i)
      ASSERT_EQ(std::isnan(actual.y[i]), i % inputs.bias.size() == 5) << i;
    // Nor does such an output stop the gradient.
    EXPECT_NE(actual.dbias[5], 0);
  }
}

/// A corner of what a window of 2×2 outputs sees touches one of them.
TEST(FusedNonFinite, wins_from_any_place_in_the_window) {
  for (const Way way : every_way)
    for (int place = 0; place < 4; ++place) {
      FusedCase one = small_case(way, 3, true, true);
      one.problem.pad_top = one.problem.pad_left = 0;
      one.problem.out_height = 6;
      one.problem.out_width = 5;
      SCOPED_TRACE(one.text());
      FusedInputs inputs = draw_inputs(one, 7);
      const std::int64_t cell = place / 2 * 3 * one.problem.in_width + place % 2 * 3;
      inputs.x[static_cast<std::size_t>(cell * one.problem.in_channels)] = nan;
      const FusedOutputs actual = run_fused(fused::kernels(), one, inputs);
      for (std::size_t c = 0; c < inputs.bias.size(); ++c) {
        ASSERT_TRUE(std::isnan(actual.y[c])) << place << " " << c;
        const int winner = actual.record[c];
        // Winograd's transforms may spread it over the tile.
        ASSERT_TRUE(winner == place || (is_winograd(way) && winner < 4)) << winner << " " << c;
      }
    }
}

}  // namespace
}  // namespace lockstep::testing
