#include "device/fused_oracle.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string_view>
#include <utility>

#include "device/cpu/fused/cook_toom.h"

namespace lockstep::testing {
namespace {

using fused::Problem;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// Visits every product of the convolution that the block computes: sample, output row, column and channel,
/// input channel, tap, and the index of its input (channels-last). With a pool, outputs that no window sees
/// are left out.
template <class F>
void each_product(const Problem& p, F&& f) {
  const std::int64_t rows = p.pool ? p.out_height / 2 * 2 : p.out_height;
  const std::int64_t columns = p.pool ? p.out_width / 2 * 2 : p.out_width;
  for (std::int64_t n = 0; n < p.samples; ++n)
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        for (std::int64_t tap = 0; tap < p.kernel * p.kernel; ++tap) {
          const std::int64_t r = i - p.pad_top + tap / p.kernel;
          const std::int64_t c = j - p.pad_left + tap % p.kernel;
          if (r < 0 || r >= p.in_height || c < 0 || c >= p.in_width) continue;
          for (std::int64_t in = 0; in < p.in_channels; ++in) {
            const std::int64_t x = ((n * p.in_height + r) * p.in_width + c) * p.in_channels + in;
            for (std::int64_t out = 0; out < p.out_channels; ++out)
              f(at(((n * p.out_height + i) * p.out_width + j) * p.out_channels + out),
                at((out * p.in_channels + in) * p.kernel * p.kernel + tap), at(x));
          }
        }
}

/// Visits every window and channel: the index of its record, and those of its four outputs in z (-1 outside).
template <class F>
void each_window(const Problem& p, F&& f) {
  std::size_t record = 0;
  for (std::int64_t n = 0; n < p.samples; ++n)
    for (std::int64_t i = 0; i < p.window_rows(); ++i)
      for (std::int64_t j = 0; j < p.window_columns(); ++j)
        for (std::int64_t c = 0; c < p.out_channels; ++c) {
          std::int64_t z[4];
          for (int k = 0; k < 4; ++k) {
            const std::int64_t row = 2 * i + k / 2;
            const std::int64_t column = 2 * j + k % 2;
            z[k] = row < p.out_height && column < p.out_width
                       ? ((n * p.out_height + row) * p.out_width + column) * p.out_channels + c
                       : -1;
          }
          const std::int64_t pooled = ((n * p.dst_height() + i) * p.dst_width() + j) * p.out_channels + c;
          f(record++, z, pooled);
        }
}

/// The gradient of z.
std::vector<double> route(const Problem& p, const std::vector<float>& dy,
                          const std::vector<std::uint8_t>& record) {
  std::vector<double> dz(at(p.samples * p.out_height * p.out_width * p.out_channels));
  each_window(p, [&](std::size_t index, const std::int64_t* z, std::int64_t pooled) {
    for (int k = 0; k < 4; ++k) {
      if (z[k] < 0) continue;
      if (p.pool)
        dz[at(z[k])] = record[index] == k ? dy[at(pooled)] : 0;
      else
        dz[at(z[k])] = !p.relu || (record[index] >> k & 1) != 0 ? dy[at(z[k])] : 0;
    }
  });
  return dz;
}

std::int64_t z_count(const Problem& p) {
  return p.samples * p.out_height * p.out_width * p.out_channels;
}

std::int64_t outputs_of_a_channel(const Problem& p) {
  return p.samples * p.out_height * p.out_width;
}

template <class T>
AlignedBuffer<T> poisoned(std::int64_t count) {
  AlignedBuffer<T> buffer(at(count));
  if constexpr (std::is_same_v<T, float>)
    std::fill_n(buffer.data(), buffer.size(), std::numeric_limits<float>::quiet_NaN());
  else
    std::fill_n(buffer.data(), buffer.size(), T{0xff});
  return buffer;
}

double magnitude(double value) {
  return std::abs(value);
}

/// A direct sum of as many products as it has terms.
FusedBounds bound_direct(const FusedCase& one, const FusedInputs& in, const std::vector<double>& dz) {
  const Problem& p = one.problem;
  FusedBounds bounds{.z = std::vector<double>(at(z_count(p))),
                     .dweights = std::vector<double>(in.weights.size()),
                     .dbias = {},
                     .dx = std::vector<double>(in.x.size())};
  each_product(p, [&](std::size_t z, std::size_t w, std::size_t x) {
    bounds.z[z] += magnitude(double{in.x[x]} * in.weights[w]);
    bounds.dweights[w] += magnitude(dz[z] * in.x[x]);
    bounds.dx[x] += magnitude(dz[z] * in.weights[w]);
  });
  const auto taps = static_cast<double>(p.kernel * p.kernel);
  for (double& bound : bounds.z) bound *= taps * static_cast<double>(p.in_channels) + 1;
  for (double& bound : bounds.dweights) bound *= static_cast<double>(outputs_of_a_channel(p));
  for (double& bound : bounds.dx) bound *= taps * static_cast<double>(p.out_channels);
  return bounds;
}

/// The algorithm of the Winograd kernels with absolute values throughout.
template <int kTile, int kKernel>
FusedBounds bound_winograd(const FusedCase& one, const FusedInputs& in, const std::vector<double>& dz) {
  constexpr auto& m = fused::CookToom<kTile, kKernel>::matrices;
  constexpr int n = kTile + kKernel - 1;
  constexpr int points = n * n;
  const Problem& p = one.problem;
  const std::int64_t tile_rows = (2 * p.window_rows() + kTile - 1) / kTile;
  const std::int64_t tile_columns = (2 * p.window_columns() + kTile - 1) / kTile;
  FusedBounds bounds{.z = std::vector<double>(at(z_count(p))),
                     .dweights = std::vector<double>(in.weights.size()),
                     .dbias = {},
                     .dx = std::vector<double>(in.x.size())};
  const auto b = [&](int point, int i, int j) {
    return magnitude(m.input.row[point / n][i]) * magnitude(m.input.row[point % n][j]);
  };
  const auto a = [&](int point, int k) {
    return magnitude(m.output.row[point / n][k / kTile]) * magnitude(m.output.row[point % n][k % kTile]);
  };
  const auto g = [&](int point, int tap) {
    return magnitude(m.filter.row[point / n][tap / kKernel]) *
           magnitude(m.filter.row[point % n][tap % kKernel]);
  };
  const std::int64_t filters = p.in_channels * p.out_channels;
  std::vector<double> u(at(filters * points));
  std::vector<double> du(u.size());
  for (std::int64_t f = 0; f < filters; ++f)
    for (int point = 0; point < points; ++point)
      for (int tap = 0; tap < kKernel * kKernel; ++tap)
        u[at(f * points + point)] += g(point, tap) * magnitude(in.weights[at(f * kKernel * kKernel + tap)]);

  std::vector<double> v(at(p.in_channels * points));
  std::vector<double> dv(v.size());
  std::vector<double> product(at(p.out_channels * points));
  std::vector<double> dproduct(product.size());
  for (std::int64_t tile = 0; tile < p.samples * tile_rows * tile_columns; ++tile) {
    const std::int64_t sample = tile / (tile_rows * tile_columns);
    const std::int64_t row = kTile * (tile / tile_columns % tile_rows);
    const std::int64_t column = kTile * (tile % tile_columns);
    const auto each_cell = [&](auto&& f) {
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
          const std::int64_t r = row - p.pad_top + i;
          const std::int64_t c = column - p.pad_left + j;
          if (r < 0 || r >= p.in_height || c < 0 || c >= p.in_width) continue;
          for (std::int64_t ic = 0; ic < p.in_channels; ++ic)
            for (int point = 0; point < points; ++point)
              f(at(ic * points + point), b(point, i, j),
                at(((sample * p.in_height + r) * p.in_width + c) * p.in_channels + ic));
        }
    };
    const auto each_output = [&](auto&& f) {
      for (int k = 0; k < kTile * kTile; ++k) {
        if (row + k / kTile >= p.out_height || column + k % kTile >= p.out_width) continue;
        for (std::int64_t oc = 0; oc < p.out_channels; ++oc)
          for (int point = 0; point < points; ++point)
            f(at(oc * points + point), a(point, k),
              at(((sample * p.out_height + row + k / kTile) * p.out_width + column + k % kTile) *
                     p.out_channels +
                 oc));
      }
    };
    for (auto* values : {&v, &dv, &product, &dproduct}) std::fill(values->begin(), values->end(), 0);
    each_cell([&](std::size_t to, double factor, std::size_t x) { v[to] += factor * magnitude(in.x[x]); });
    each_output(
        [&](std::size_t to, double factor, std::size_t z) { dproduct[to] += factor * magnitude(dz[z]); });
    for (std::int64_t oc = 0; oc < p.out_channels; ++oc)
      for (std::int64_t ic = 0; ic < p.in_channels; ++ic)
        for (std::int64_t point = 0; point < points; ++point) {
          const std::size_t filter = at((oc * p.in_channels + ic) * points + point);
          product[at(oc * points + point)] += u[filter] * v[at(ic * points + point)];
          du[filter] += dproduct[at(oc * points + point)] * v[at(ic * points + point)];
          dv[at(ic * points + point)] += dproduct[at(oc * points + point)] * u[filter];
        }
    each_output(
        [&](std::size_t from, double factor, std::size_t z) { bounds.z[z] += factor * product[from]; });
    each_cell([&](std::size_t from, double factor, std::size_t x) { bounds.dx[x] += factor * dv[from]; });
  }
  for (std::int64_t f = 0; f < filters; ++f)
    for (int point = 0; point < points; ++point)
      for (int tap = 0; tap < kKernel * kKernel; ++tap)
        bounds.dweights[at(f * kKernel * kKernel + tap)] += g(point, tap) * du[at(f * points + point)];

  // Two transforms of inputs, one of them the filter's, and one of outputs, each in two directions.
  constexpr double transforms = 3 * 2 * n + 2;
  constexpr int across = (n + kTile - 1) / kTile;
  constexpr double neighbours = across * across;  // tiles whose patches meet in a cell
  for (double& bound : bounds.z) bound *= static_cast<double>(p.in_channels) + transforms;
  for (double& bound : bounds.dweights)
    bound *= static_cast<double>(p.samples * tile_rows * tile_columns) + transforms;
  for (double& bound : bounds.dx) bound *= static_cast<double>(p.out_channels) + transforms + neighbours;
  return bounds;
}

std::string_view name_of(Way way) {
  if (way == Way::direct) return "direct";
  return way == Way::winograd2 ? "winograd 2×2" : "winograd 4×4";
}

void expect_near(const std::vector<float>& actual, const std::vector<double>& expected,
                 const std::vector<double>& bounds, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_TRUE(std::abs(actual[i] - expected[i]) <= bounds[i])  // so that a NaN fails
        << what << "[" << i << "] is " << actual[i] << ", expected " << expected[i] << " within "
        << bounds[i];
}

/// A maximum and a ReLU move a result by no more than the greatest of their arguments moves. The winner that
/// was recorded must be a greatest output, as far as rounding can tell.
void expect_outputs(const FusedCase& one, const FusedOutputs& actual, const FusedExpected& expected,
                    const FusedBounds& bounds) {
  const fused::Problem& p = one.problem;
  const std::int64_t c = p.out_channels;
  for (std::size_t i = 0; i < actual.y.size(); ++i) {
    const auto channel = static_cast<std::int64_t>(i) % c;
    const auto cell = static_cast<std::int64_t>(i) / c;
    if (!p.pool) {
      ASSERT_TRUE(std::abs(actual.y[i] - expected.y[i]) <= bounds.z[i])
          << "y[" << i << "] is " << actual.y[i] << ", expected " << expected.y[i] << " within "
          << bounds.z[i];
      continue;
    }
    const std::int64_t column = cell % p.dst_width();
    const std::int64_t row = cell / p.dst_width() % p.dst_height();
    const std::int64_t sample = cell / p.dst_width() / p.dst_height();
    const auto z = [&](int k) {
      return static_cast<std::size_t>(
          ((sample * p.out_height + 2 * row + k / 2) * p.out_width + 2 * column + k % 2) * c + channel);
    };
    double bound = 0;
    for (int k = 0; k < 4; ++k) bound = std::max(bound, bounds.z[z(k)]);
    ASSERT_TRUE(std::abs(actual.y[i] - expected.y[i]) <= bound)
        << "y[" << i << "] is " << actual.y[i] << ", expected " << expected.y[i] << " within " << bound;
    const int winner = actual.record[i];
    if (winner == 4) {
      ASSERT_TRUE(p.relu && expected.y[i] <= bound) << i;
    } else {
      ASSERT_LT(winner, 4);
      ASSERT_GE(expected.z[z(winner)] + 2 * bound, expected.y[i]) << "winner of " << i << " is " << winner;
    }
  }
}

}  // namespace

std::vector<float> reordered(const std::vector<float>& from, std::int64_t samples, std::int64_t outer,
                             std::int64_t inner) {
  std::vector<float> to(from.size());
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t i = 0; i < outer; ++i)
      for (std::int64_t j = 0; j < inner; ++j)
        to[at((n * inner + j) * outer + i)] = from[at((n * outer + i) * inner + j)];
  return to;
}

const fused::Method& method_of(const fused::Kernels& kernels, Way way, std::int64_t kernel) {
  return is_winograd(way) ? kernels.winograd(way == Way::winograd2 ? 2 : 4, kernel) : kernels.direct(kernel);
}

std::string FusedCase::text() const {
  const Problem& p = problem;
  return fmt::format(
      "{}: {} samples of {}×{}×{}, {} filters of {}×{}, padding {} {}, outputs {}×{}{}{}{}{}{}{}",
      name_of(way), p.samples, p.in_channels, p.in_height, p.in_width, p.out_channels, p.kernel, p.kernel,
      p.pad_top, p.pad_left, p.out_height, p.out_width, p.relu ? ", relu" : "", p.pool ? ", pool" : "",
      p.plain_src ? ", plain x" : "", p.plain_dst ? ", plain y" : "", bias ? "" : ", no bias",
      data_gradient ? "" : ", no dx");
}

FusedCase draw_fused(std::uint32_t seed) {
  std::mt19937 generator(seed);
  const auto pick = [&](std::initializer_list<std::int64_t> values) {
    return *(values.begin() + generator() % values.size());
  };
  FusedCase one;
  one.way = std::array{Way::winograd2, Way::winograd4, Way::direct}.at(at(pick({0, 1, 2})));
  one.bias = pick({0, 1, 1}) == 1;
  one.data_gradient = is_winograd(one.way) && pick({0, 1, 1}) == 1;
  Problem& p = one.problem;
  p.kernel = pick({3, 5});
  p.relu = pick({0, 1, 1}) == 1;
  p.pool = pick({0, 1}) == 1;
  p.plain_dst = pick({0, 1}) == 1;
  p.plain_src = one.way == Way::direct && pick({0, 1}) == 1;
  p.samples = pick({1, 1, 2, 5});
  p.in_channels = one.way == Way::direct ? pick({1, 1, 2, 3, 4}) : pick({1, 2, 3, 7, 8, 9, 16, 20, 24});
  p.out_channels = pick({1, 2, 5, 8, 9, 12, 16, 17, 24, 33, 48});
  p.in_height = pick({4, 5, 6, 7, 9, 12});
  p.in_width = pick({4, 5, 6, 8, 11, 13});
  if (pick({0, 0, 0, 0, 0, 0, 0, 0, 0, 1}) == 1) {  // many channels, or a row of more than one chunk
    if (is_winograd(one.way) && pick({0, 1}) == 1) {
      p.in_channels = 100;
      p.in_height = p.in_width = 5;
    } else {
      p.in_width = 47;
      p.in_height = 5;
    }
    p.out_channels = pick({3, 100});
    p.samples = 1;
  }
  p.pad_top = pick({0, 1, 2, 4});
  p.pad_left = pick({0, 1, 2, 3});
  p.out_height = std::max<std::int64_t>(p.in_height + p.pad_top + pick({0, 1, 2, 3}) - p.kernel + 1, 2);
  p.out_width = std::max<std::int64_t>(p.in_width + p.pad_left + pick({0, 1, 2, 4}) - p.kernel + 1, 2);
  return one;
}

FusedCase first_of_mnist() {
  FusedCase one{.way = Way::direct, .problem = {}, .data_gradient = false};
  one.problem = {.samples = 3,
                 .in_channels = 1,
                 .in_height = 28,
                 .in_width = 28,
                 .out_channels = 24,
                 .out_height = 24,
                 .out_width = 24,
                 .kernel = 5,
                 .relu = true,
                 .pool = true};
  return one;
}

FusedCase padded_case(Way way, const Problem& problem) {
  FusedCase one{.way = way, .problem = problem, .data_gradient = is_winograd(way)};
  one.problem.pad_top = one.problem.pad_left = problem.kernel / 2;
  one.problem.out_height = problem.in_height;
  one.problem.out_width = problem.in_width;
  return one;
}

/// Zeros around a rectangle of each image, as of a digit.
void add_background(const Problem& p, std::mt19937& generator, std::vector<float>& x) {
  const auto draw_range = [&](std::int64_t extent) {
    const auto end = 1 + static_cast<std::int64_t>(generator() % static_cast<std::uint32_t>(extent));
    return Range{static_cast<std::int64_t>(generator() % static_cast<std::uint32_t>(end)), end};
  };
  for (std::int64_t sample = 0; sample < p.samples; ++sample) {
    const Range rows = draw_range(p.in_height);
    const Range columns = draw_range(p.in_width);
    for (std::int64_t row = 0; row < p.in_height; ++row)
      for (std::int64_t column = 0; column < p.in_width; ++column) {
        if (rows.contains(row) && columns.contains(column)) continue;
        const std::int64_t cell = (sample * p.in_height + row) * p.in_width + column;
        std::fill_n(x.begin() + cell * p.in_channels, p.in_channels, 0.0F);
      }
  }
}

FusedInputs draw_inputs(const FusedCase& one, std::uint32_t seed) {
  const Problem& p = one.problem;
  std::mt19937 generator(seed);
  const auto draw = [&](std::int64_t count) {
    std::vector<float> values(at(count));
    for (float& value : values) value = static_cast<float>(static_cast<std::int32_t>(generator())) * 0x1p-31F;
    return values;
  };
  FusedInputs inputs;
  inputs.x = draw(p.samples * p.in_height * p.in_width * p.in_channels);
  inputs.weights = draw(p.out_channels * p.in_channels * p.kernel * p.kernel);
  if (one.bias) inputs.bias = draw(p.out_channels);
  inputs.dy = draw(p.samples * p.dst_height() * p.dst_width() * p.out_channels);
  if (seed % 3 == 0) add_background(p, generator, inputs.x);
  return inputs;
}

/// As AliveGradients of the kernels' rules say.
bool goes_by_the_alive(const FusedCase& one, const std::vector<std::uint8_t>& record) {
  const Problem& p = one.problem;
  const std::int64_t run = p.kernel * p.in_channels;
  return is_winograd(one.way) && p.relu && p.pool && run >= 40 && run * p.kernel * p.out_channels <= 65'536 &&
         alive_share(record) <= 0.5;
}

/// Numbers are uniform in [-1, 1], so an output is about normal, and the greatest of four is above 1.4
/// deviations three times in ten.
void let_few_live(const FusedCase& one, FusedInputs& inputs) {
  const Problem& p = one.problem;
  const auto products = static_cast<double>(p.kernel * p.kernel * p.in_channels);
  for (float& bias : inputs.bias) bias = static_cast<float>(0.1 * bias - 1.4 * std::sqrt(products / 9));
}

double alive_share(const std::vector<std::uint8_t>& record) {
  const auto alive = std::ranges::count_if(record, [](std::uint8_t winner) { return winner < 4; });
  return static_cast<double>(alive) / static_cast<double>(record.size());
}

FusedOutputs run_fused(const fused::Kernels& kernels, const FusedCase& one, const FusedInputs& inputs) {
  const Problem& p = one.problem;
  const fused::Method& method = method_of(kernels, one.way, p.kernel);
  const fused::Layout layout = method.layout(p, one.data_gradient);
  const std::int64_t in_plane = p.in_height * p.in_width;
  const std::int64_t out_plane = p.dst_height() * p.dst_width();
  const auto x = p.plain_src ? reordered(inputs.x, p.samples, in_plane, p.in_channels) : inputs.x;
  const auto dy = p.plain_dst ? reordered(inputs.dy, p.samples, out_plane, p.out_channels) : inputs.dy;
  const auto packed = poisoned<float>(layout.packed);
  const auto record = poisoned<std::uint8_t>(layout.record);

  FusedOutputs outputs;
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  outputs.y.assign(dy.size(), nan);
  outputs.dweights.assign(inputs.weights.size(), nan);
  outputs.dbias.assign(inputs.bias.size(), nan);
  if (one.data_gradient) outputs.dx.assign(x.size(), nan);
  method.pack_all(p, layout, inputs.weights.data(), packed.data());
  auto workspace = poisoned<float>(layout.forward_workspace);
  method.forward(p, layout,
                 {.x = x.data(),
                  .packed = packed.data(),
                  .bias = one.bias ? inputs.bias.data() : nullptr,
                  .y = outputs.y.data(),
                  .record = record.data(),
                  .workspace = workspace.data()});
  workspace = poisoned<float>(layout.backward_workspace);
  method.backward(p, layout,
                  {.x = x.data(),
                   .dy = dy.data(),
                   .record = record.data(),
                   .packed = packed.data(),
                   .dweight = outputs.dweights.data(),
                   .dbias = one.bias ? outputs.dbias.data() : nullptr,
                   .dx = one.data_gradient ? outputs.dx.data() : nullptr,
                   .workspace = workspace.data()});
  if (p.plain_dst) outputs.y = reordered(outputs.y, p.samples, p.out_channels, out_plane);
  for (std::int64_t window = 0; window < p.all_window_rows() * p.window_columns(); ++window)
    for (std::int64_t c = 0; c < p.out_channels; ++c)
      outputs.record.push_back(p.keeps_record() ? record[at(window * layout.out_stride + c)] : 0);
  return outputs;
}

FusedExpected expect_fused(const FusedCase& one, const FusedInputs& in,
                           const std::vector<std::uint8_t>& record) {
  const Problem& p = one.problem;
  FusedExpected expected;
  expected.z.resize(at(z_count(p)));
  for (std::size_t i = 0; i < expected.z.size(); ++i)
    expected.z[i] = one.bias ? in.bias[i % at(p.out_channels)] : 0;
  const auto dz = route(p, in.dy, record);
  expected.dweights.resize(in.weights.size());
  expected.dbias.resize(in.bias.size());
  expected.dx.resize(in.x.size());
  each_product(p, [&](std::size_t z, std::size_t w, std::size_t x) {
    expected.z[z] += double{in.x[x]} * in.weights[w];
    expected.dweights[w] += dz[z] * in.x[x];
    expected.dx[x] += dz[z] * in.weights[w];
  });
  if (one.bias)
    for (std::size_t i = 0; i < dz.size(); ++i) expected.dbias[i % at(p.out_channels)] += dz[i];
  expected.y.resize(in.dy.size());
  each_window(p, [&](std::size_t /*index*/, const std::int64_t* z, std::int64_t pooled) {
    double best = 0;
    for (int k = 0; k < 4; ++k) {
      if (z[k] < 0) continue;
      double value = expected.z[at(z[k])];
      if (p.relu && value <= 0) value = 0;
      if (!p.pool) expected.y[at(z[k])] = value;
      if (k == 0 || value > best || std::isnan(value)) best = value;
    }
    if (p.pool) expected.y[at(pooled)] = best;
  });
  return expected;
}

FusedBounds bound_fused(const FusedCase& one, const FusedInputs& in,
                        const std::vector<std::uint8_t>& record) {
  const Problem& p = one.problem;
  const auto dz = route(p, in.dy, record);
  const auto bound = one.way == Way::direct ? bound_direct
                     : one.way == Way::winograd2
                         ? (p.kernel == 3 ? bound_winograd<2, 3> : bound_winograd<2, 5>)
                         : (p.kernel == 3 ? bound_winograd<4, 3> : bound_winograd<4, 5>);
  FusedBounds bounds = bound(one, in, dz);
  if (goes_by_the_alive(one, record)) {
    FusedBounds by_definition = bound_direct(one, in, dz);
    bounds.dweights = std::move(by_definition.dweights);
    bounds.dx = std::move(by_definition.dx);
  }
  bounds.dbias.resize(in.bias.size());
  if (one.bias) {
    for (std::size_t i = 0; i < dz.size(); ++i) bounds.dbias[i % at(p.out_channels)] += magnitude(dz[i]);
    for (double& bound : bounds.dbias) bound *= static_cast<double>(outputs_of_a_channel(p));
    // The bias is one more term of z.
    for (std::size_t i = 0; i < bounds.z.size(); ++i)
      bounds.z[i] += 2 * magnitude(in.bias[i % at(p.out_channels)]);
  }
  constexpr double u = 0x1p-24;
  constexpr double denormal = 0x1p-126;
  for (auto* list : {&bounds.z, &bounds.dweights, &bounds.dbias, &bounds.dx})
    for (double& bound : *list) bound = bound * u * 1.001 + denormal;
  return bounds;
}

void expect_within_bounds(const FusedCase& one, const FusedInputs& inputs, const FusedOutputs& actual) {
  const FusedExpected expected = expect_fused(one, inputs, actual.record);
  const FusedBounds bounds = bound_fused(one, inputs, actual.record);
  expect_outputs(one, actual, expected, bounds);
  expect_near(actual.dweights, expected.dweights, bounds.dweights, "weight gradient");
  expect_near(actual.dbias, expected.dbias, bounds.dbias, "bias gradient");
  if (one.data_gradient) expect_near(actual.dx, expected.dx, bounds.dx, "dx");
}

void expect_same_bits(const std::vector<float>& actual, const std::vector<float>& expected,
                      const char* what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(actual[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << what << "[" << i << "] is " << actual[i] << " and " << expected[i];
}

void expect_same_outputs(const FusedOutputs& actual, const FusedOutputs& expected) {
  expect_same_bits(actual.y, expected.y, "y");
  EXPECT_EQ(actual.record, expected.record);
  expect_same_bits(actual.dweights, expected.dweights, "weight gradient");
  expect_same_bits(actual.dbias, expected.dbias, "bias gradient");
  expect_same_bits(actual.dx, expected.dx, "dx");
}

}  // namespace lockstep::testing
