// The fused kernels against loops in double precision, and against each other's bits.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "device/cpu/fused/cook_toom.h"
#include "device/fused_oracle.h"

namespace lockstep::testing {
namespace {

void check_fused(const fused::Kernels& kernels, const FusedCase& one, std::uint32_t seed) {
  SCOPED_TRACE(one.text());
  const FusedInputs inputs = draw_inputs(one, seed);
  const FusedOutputs actual = run_fused(kernels, one, inputs);
  expect_within_bounds(one, inputs, actual);
}

TEST(FusedKernels, agree_with_loops_for_any_geometry) {
  const fused::Kernels& kernels = fused::kernels();
  for (std::uint32_t seed = 0; seed < 300 && !HasFatalFailure(); ++seed)
    check_fused(kernels, draw_fused(seed), seed);
}

/// Geometries of which few windows are alive, with enough inputs for that to count.
FusedCase draw_sparse(std::uint32_t seed) {
  FusedCase one = draw_fused(seed);
  if (one.problem.in_channels * one.problem.kernel < 40) one.problem.in_channels += 13;
  if (!is_winograd(one.way)) one.way = seed % 2 == 0 ? Way::winograd2 : Way::winograd4;
  one.data_gradient = seed % 4 != 0;
  one.bias = one.problem.relu = one.problem.pool = true;
  one.problem.plain_src = false;
  return one;
}

FusedInputs draw_sparse_inputs(const FusedCase& one, std::uint32_t seed) {
  FusedInputs inputs = draw_inputs(one, seed);
  let_few_live(one, inputs);
  return inputs;
}

/// Returns the windows that are alive, for each channel.
double check_sparse(const fused::Kernels& kernels, const FusedCase& one, std::uint32_t seed) {
  SCOPED_TRACE(one.text());
  const FusedInputs inputs = draw_sparse_inputs(one, seed);
  const FusedOutputs actual = run_fused(kernels, one, inputs);
  expect_within_bounds(one, inputs, actual);
  return goes_by_the_alive(one, actual.record)
             ? alive_share(actual.record) * static_cast<double>(actual.record.size())
             : 0;
}

TEST(FusedKernels, agree_with_loops_where_few_windows_are_alive) {
  int cases = 0;
  double alive = 0;
  for (std::uint32_t seed = 0; seed < 300 && !HasFatalFailure(); ++seed) {
    const double of_case = check_sparse(fused::kernels(), draw_sparse(seed), seed);
    cases += of_case > 0 ? 1 : 0;
    alive += of_case;
  }
  EXPECT_GT(cases, 150);
  EXPECT_GT(alive, 10'000);
  for (std::uint32_t seed = 1000; seed < 1020 && !HasFatalFailure(); ++seed)
    check_sparse(fused::all_kernels().back(), draw_sparse(seed), seed);
}

/// Samples without padding, which are read where they are if full or half vectors make up a run.
FusedCase sparse_unpadded(std::int64_t samples, std::int64_t in_channels, std::int64_t out_channels,
                          std::int64_t kernel, std::int64_t height, std::int64_t width) {
  FusedCase one{.way = Way::winograd4, .problem = {}};
  one.problem = {.samples = samples,
                 .in_channels = in_channels,
                 .in_height = height,
                 .in_width = width,
                 .out_channels = out_channels,
                 .out_height = height - kernel + 1,
                 .out_width = width - kernel + 1,
                 .kernel = kernel,
                 .relu = true,
                 .pool = true};
  return one;
}

/// More channels than are listed at a time, runs of more vectors than registers hold, and samples in strips.
TEST(FusedKernels, agree_with_loops_and_each_other_where_few_of_many_windows_are_alive) {
  std::vector<FusedCase> cases;
  for (const auto& [in_channels, out_channels, kernel, extent] :
       {std::array{20, 130, 5, 6}, std::array{100, 60, 3, 7}, std::array{48, 40, 5, 18},
        std::array{24, 48, 5, 23}})
    cases.push_back(padded_case(Way::winograd4, {.samples = 3,
                                                 .in_channels = in_channels,
                                                 .in_height = extent,
                                                 .in_width = extent + 3,
                                                 .out_channels = out_channels,
                                                 .kernel = kernel,
                                                 .relu = true,
                                                 .pool = true}));
  cases.push_back(sparse_unpadded(2, 8, 9, 5, 28, 32));    // one strip
  cases.push_back(sparse_unpadded(2, 8, 9, 5, 30, 32));    // two
  cases.push_back(sparse_unpadded(3, 24, 48, 5, 12, 12));  // two samples at a time; a half of sixteen lanes
  cases.push_back(sparse_unpadded(3, 12, 20, 5, 14, 16));  // a half of eight lanes, copied with sixteen
  cases.push_back(sparse_unpadded(3, 9, 20, 5, 14, 16));   // copied
  cases.push_back(sparse_unpadded(2, 56, 40, 5, 10, 12));  // a half behind a whole part
  cases.push_back(sparse_unpadded(2, 88, 40, 3, 8, 8));    // which is all of the last part
  const auto all = fused::all_kernels();
  for (const FusedCase& one : cases) {
    const FusedInputs inputs = draw_sparse_inputs(one, 1);
    const FusedOutputs first = run_fused(all.front(), one, inputs);
    EXPECT_GT(alive_share(first.record), 0.05);
    ASSERT_TRUE(goes_by_the_alive(one, first.record)) << one.text();
    for (const fused::Kernels& kernels : all) {
      SCOPED_TRACE(one.text() + ", " + kernels.instruction_set);
      const FusedOutputs actual = run_fused(kernels, one, inputs);
      expect_within_bounds(one, inputs, actual);
      expect_same_outputs(actual, first);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(FusedKernels, agree_with_loops_without_vectors_too) {
  const fused::Kernels kernels = fused::all_kernels().back();
  for (std::uint32_t seed = 1000; seed < 1020 && !HasFatalFailure(); ++seed)
    check_fused(kernels, draw_fused(seed), seed);
}

TEST(FusedKernels, compute_the_layers_of_the_mnist_network) {
  const FusedCase first = first_of_mnist();
  FusedCase second{.way = Way::winograd4, .problem = first.problem};
  second.problem.in_channels = 24;
  second.problem.in_height = second.problem.in_width = 12;
  second.problem.out_channels = 48;
  second.problem.out_height = second.problem.out_width = 8;
  second.problem.plain_dst = true;
  constexpr std::uint32_t dense = 1, with_background = 3;
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (const FusedCase& one : {first, second})
      for (const std::uint32_t seed : {dense, with_background}) check_fused(kernels, one, seed);
}

/// Sums of many strips, which cut samples: drawn geometries are too small for that.
void check_across_strips(Way way, std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel,
                         bool pool) {
  const FusedCase one = padded_case(way, {.samples = 3,
                                          .in_channels = in_channels,
                                          .in_height = 18,
                                          .in_width = 22,
                                          .out_channels = out_channels,
                                          .kernel = kernel,
                                          .relu = true,
                                          .pool = pool});
  const fused::Layout layout = method_of(fused::kernels(), way, kernel).layout(one.problem, true);
  const std::int64_t rows = way == Way::winograd2 ? 9 : 5;  // of tiles in a sample
  ASSERT_LT(layout.strip_rows, 3 * rows);
  ASSERT_NE(layout.strip_rows % rows, 0);
  check_fused(fused::kernels(), one, 1);
}

TEST(FusedKernels, agree_with_loops_across_strips) {
  for (const Way way : {Way::winograd2, Way::winograd4})
    for (const std::int64_t kernel : {3, 5})
      for (const bool pool : {false, true}) {
        check_across_strips(way, 48, 40, kernel, pool);
        if (HasFatalFailure()) return;
      }
}

/// Strips are longer where weights are large.
TEST(FusedKernels, agree_with_loops_across_strips_with_large_weights) {
  for (const Way way : {Way::winograd2, Way::winograd4}) {
    check_across_strips(way, 96, 96, 3, false);
    if (HasFatalFailure()) return;
  }
}

/// So do those of the direct kernels behind a pool, whose strips end with a sample.
TEST(FusedKernels, agree_with_loops_across_strips_of_a_sample) {
  for (const std::int64_t kernel : {3, 5})
    for (const std::int64_t in_channels : {1, 3})
      for (const std::int64_t out_channels : {70, 550}) {  // strips of a few rows of windows, and of one
        const FusedCase one = padded_case(Way::direct, {.samples = 2,
                                                        .in_channels = in_channels,
                                                        .in_height = 19,
                                                        .in_width = 8,
                                                        .out_channels = out_channels,
                                                        .kernel = kernel,
                                                        .relu = true,
                                                        .pool = true});
        for (const fused::Kernels& kernels : fused::all_kernels()) {
          SCOPED_TRACE(kernels.instruction_set);
          const fused::Layout layout = method_of(kernels, Way::direct, kernel).layout(one.problem, false);
          ASSERT_LT(layout.strip_rows, one.problem.window_rows());
          if (out_channels == 70) {
            ASSERT_NE(one.problem.window_rows() % layout.strip_rows, 0);
          } else {
            ASSERT_EQ(layout.strip_rows, 1);
          }
          check_fused(kernels, one, 1);
          if (HasFatalFailure()) return;
        }
      }
}

double root_mean_square(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

double relative_error(const std::vector<float>& actual, const std::vector<double>& expected) {
  std::vector<double> errors(expected.size());
  for (std::size_t i = 0; i < errors.size(); ++i) errors[i] = actual[i] - expected[i];
  return root_mean_square(errors) / root_mean_square(expected);
}

/// The bounds of single elements are those of the worst case; on the whole, errors are far smaller. Other
/// points for the transforms would show here.
TEST(FusedKernels, lose_a_digit_at_most) {
  for (const Way way : {Way::winograd2, Way::winograd4, Way::direct})
    for (const std::int64_t kernel : {3, 5}) {
      FusedCase one{.way = way, .problem = {}, .data_gradient = is_winograd(way)};
      one.problem = {.samples = 4,
                     .in_channels = 24,
                     .in_height = 12,
                     .in_width = 12,
                     .out_channels = 48,
                     .out_height = 8,
                     .out_width = 8,
                     .kernel = kernel};
      SCOPED_TRACE(one.text());
      const FusedInputs inputs = draw_inputs(one, 1);
      const FusedOutputs actual = run_fused(fused::kernels(), one, inputs);
      const FusedExpected expected = expect_fused(one, inputs, actual.record);
      constexpr double most = 4e-6;
      EXPECT_LT(relative_error(actual.y, expected.y), most);
      EXPECT_LT(relative_error(actual.dweights, expected.dweights), most);
      if (one.data_gradient) {
        EXPECT_LT(relative_error(actual.dx, expected.dx), most);
      }
    }
}

/// Direct sums are nearer than transformed ones, which shows that they are what was computed. (Tiles of 2×2
/// of a 3×3 kernel lose too little for that.)
TEST(FusedKernels, lose_no_digit_where_few_windows_are_alive) {
  for (const auto& [way, kernel] :
       {std::pair{Way::winograd2, 5}, std::pair{Way::winograd4, 5}, std::pair{Way::winograd4, 3}}) {
    const FusedCase one = padded_case(way, {.samples = 4,
                                            .in_channels = 24,
                                            .in_height = 12,
                                            .in_width = 12,
                                            .out_channels = 48,
                                            .kernel = kernel,
                                            .relu = true,
                                            .pool = true});
    SCOPED_TRACE(one.text());
    const FusedInputs inputs = draw_sparse_inputs(one, 1);
    const FusedOutputs actual = run_fused(fused::kernels(), one, inputs);
    const FusedExpected expected = expect_fused(one, inputs, actual.record);
    constexpr double most = 3e-7;
    EXPECT_LT(relative_error(actual.dweights, expected.dweights), most);
    EXPECT_LT(relative_error(actual.dx, expected.dx), most);
  }
}

TEST(FusedKernels, give_the_same_bits_on_every_instruction_set) {
  const auto all = fused::all_kernels();
  ASSERT_FALSE(all.empty());
  if (all.size() == 1)
    GTEST_SKIP() << "not run: this processor has " << all.front().instruction_set << " only";
  for (std::uint32_t seed = 0; seed < 180; ++seed) {
    const bool sparse = seed >= 120;
    const FusedCase one = sparse ? draw_sparse(seed) : draw_fused(seed);
    const FusedInputs inputs = sparse ? draw_sparse_inputs(one, seed) : draw_inputs(one, seed);
    const FusedOutputs first = run_fused(all.front(), one, inputs);
    for (const fused::Kernels& other : all) {
      SCOPED_TRACE(one.text() + ", " + all.front().instruction_set + " and " + other.instruction_set);
      const FusedOutputs second = run_fused(other, one, inputs);
      expect_same_outputs(second, first);
      if (HasFailure()) return;
    }
  }
}

/// Bits of a sample's outputs do not depend on the other samples, nor on the strips that they fall into. Nor
/// do those of its gradient, but for which way it is made, which depends on how many windows of all are
/// alive.
TEST(FusedKernels, compute_each_sample_as_if_it_were_alone) {
  int compared = 0, sparse_compared = 0;
  for (std::uint32_t seed = 2000; seed < 2080; ++seed) {
    const bool sparse = seed >= 2040;
    FusedCase one = sparse ? draw_sparse(seed) : draw_fused(seed);
    SCOPED_TRACE(one.text());
    one.problem.samples = 5;
    const FusedInputs inputs = sparse ? draw_sparse_inputs(one, seed) : draw_inputs(one, seed);
    const FusedOutputs together = run_fused(fused::kernels(), one, inputs);
    const bool by_the_alive = goes_by_the_alive(one, together.record);
    one.problem.samples = 1;
    const auto part = [](const std::vector<float>& all, std::size_t n) {
      const auto size = static_cast<std::ptrdiff_t>(all.size() / 5);
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(n) * size;
      return std::vector<float>(begin, begin + size);
    };
    for (std::size_t n = 0; n < 5; ++n) {
      FusedInputs own = inputs;
      own.x = part(inputs.x, n);
      own.dy = part(inputs.dy, n);
      const FusedOutputs alone = run_fused(fused::kernels(), one, own);
      expect_same_bits(alone.y, part(together.y, n), "y");
      if (goes_by_the_alive(one, alone.record) != by_the_alive) continue;
      expect_same_bits(alone.dx, part(together.dx, n), "dx");
      ++compared;
      sparse_compared += by_the_alive ? 1 : 0;
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(compared, 250);
  EXPECT_GT(sparse_compared, 60);
}

/// y = Aᵀ [(G g) ⊙ (Bᵀ d)] in doubles is the filter, but for the rounding of G to floats.
template <int kOutputs, int kTaps>
void check_matrices() {
  using Transform = fused::CookToom<kOutputs, kTaps>;
  constexpr auto& m = Transform::matrices;
  for (int tap = 0; tap < kTaps; ++tap)
    for (int cell = 0; cell < Transform::points; ++cell)
      for (int output = 0; output < kOutputs; ++output) {
        double y = 0;
        for (int p = 0; p < Transform::points; ++p)
          y += double{m.output.row[p][output]} * m.filter.row[p][tap] * m.input.row[p][cell];
        EXPECT_NEAR(y, cell == output + tap ? 1 : 0, 1e-6) << tap << " " << cell << " " << output;
      }
}

TEST(CookToom, matrices_are_those_of_a_filter) {
  check_matrices<2, 3>();
  check_matrices<2, 5>();
  check_matrices<4, 3>();
  check_matrices<4, 5>();
}

}  // namespace
}  // namespace lockstep::testing
