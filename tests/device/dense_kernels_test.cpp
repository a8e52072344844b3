// Kernels of dense layers: the products with the weights, and weight gradients that are computed for many
// shards at once. Their results are known to the bit, whatever the extents and the instruction set.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "base/error.h"
#include "device/backend.h"
#include "device/cpu/fused/kernels.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

namespace fused = device::cpu::fused;
using device::KeptShard;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

struct Shard {
  std::int64_t samples = 0;
  std::vector<float> x, dy;
};

struct Case {
  fused::DenseExtents extents;
  std::vector<Shard> shards;
};

/// Numbers of which none, few, or most are zero, of both signs, also many in a row. Some are so large that
/// sums depend on their order, or so small that products underflow.
std::vector<float> draw(std::mt19937& random, std::int64_t count) {
  std::normal_distribution<float> normal;
  constexpr std::array<std::uint32_t, 3> zeros_of_100{0, 12, 67};
  const std::uint32_t zeros = zeros_of_100[random() % zeros_of_100.size()];
  std::vector<float> values(static_cast<std::size_t>(count));
  std::uint32_t run = 0;
  for (float& value : values) {
    value = normal(random);
    if (random() % 8 == 0) value *= 1e10F;
    if (random() % 8 == 0) value *= 1e-30F;
    if (zeros > 12 && random() % 256 == 0) run = random() % 512;
    if (run > 0) --run;
    if (run > 0 || random() % 100 < zeros) value *= 0.0F;
  }
  return values;
}

/// Each shard has fewer samples than `limit`, perhaps none.
Case draw_shards(std::mt19937& random, const fused::DenseExtents& extents, std::size_t shards,
                 std::uint32_t limit) {
  Case one{.extents = extents, .shards = std::vector<Shard>(shards)};
  for (Shard& shard : one.shards) {
    shard.samples = static_cast<std::int64_t>(random() % limit);
    shard.x = draw(random, shard.samples * extents.in);
    shard.dy = draw(random, shard.samples * extents.out);
  }
  return one;
}

Case draw_case(std::uint32_t seed) {
  std::mt19937 random(seed);
  const fused::DenseExtents extents{.in = 1 + static_cast<std::int64_t>(random() % 150),
                                    .out = 1 + static_cast<std::int64_t>(random() % 150)};
  const std::size_t shards = std::size_t{1} << random() % 5;
  return draw_shards(random, extents, shards, seed % 8 == 0 ? 70 : 6);
}

bool is_finite(const Shard& shard, std::int64_t sample, std::int64_t in) {
  return std::ranges::all_of(std::span(shard.x).subspan(at(sample * in), at(in)),
                             [](float x) { return std::isfinite(x); });
}

/// A sample's zeros in dy are left out if its x is finite.
std::vector<float> expected(const Case& one) {
  const auto [in, out] = one.extents;
  std::vector<std::vector<float>> sums;
  for (const Shard& shard : one.shards) {
    std::vector<float>& sum = sums.emplace_back(static_cast<std::size_t>(in * out), 0.0F);
    for (std::int64_t s = 0; s < shard.samples; ++s)
      for (std::int64_t o = 0; o < out; ++o) {
        if (shard.dy[static_cast<std::size_t>(s * out + o)] == 0 && is_finite(shard, s, in)) continue;
        for (std::int64_t i = 0; i < in; ++i) {
          float& element = sum[static_cast<std::size_t>(o * in + i)];
          element = std::fmaf(shard.dy[static_cast<std::size_t>(s * out + o)],
                              shard.x[static_cast<std::size_t>(s * in + i)], element);
        }
      }
  }
  for (std::size_t width = sums.size(); width > 1; width /= 2)
    for (std::size_t pair = 0; pair < width / 2; ++pair)
      for (std::size_t i = 0; i < sums[pair].size(); ++i)
        sums[pair][i] = sums[2 * pair][i] + sums[2 * pair + 1][i];
  return sums.front();
}

std::vector<float> actual(const fused::DenseGradient& kernel, const Case& one) {
  constexpr std::int64_t before = 5;  // of another layer, which stays as it is
  const std::int64_t floats = before + kernel.kept_floats(one.extents);
  std::vector<std::vector<float>> memory;
  std::vector<KeptShard> kept;
  for (const Shard& shard : one.shards) {
    std::vector<float>& own = memory.emplace_back(static_cast<std::size_t>(floats * shard.samples), -1.0F);
    kernel.keep(one.extents, shard.samples, shard.x.data(), shard.dy.data(),
                own.data() + before * shard.samples);
    EXPECT_TRUE(
        std::all_of(own.begin(), own.begin() + before * shard.samples, [](float f) { return f == -1; }));
    kept.push_back({.data = own.data(), .samples = shard.samples});
  }
  std::vector<float> weights(static_cast<std::size_t>(one.extents.in * one.extents.out), NAN);
  for (std::int64_t piece = kernel.pieces(one.extents); piece-- > 0;)  // in any order
    kernel.add_up(one.extents, before, piece, kept, weights.data());
  return weights;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(JointDense, is_the_tree_over_chains_of_each_shard_on_any_instruction_set) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
      const Case one = draw_case(seed);
      ASSERT_TRUE(same_bits(actual(kernels.dense_gradient, one), expected(one)))
          << kernels.instruction_set << ", " << one.extents.out << " x " << one.extents.in << ", "
          << one.shards.size() << " shards, seed " << seed;
    }
}

TEST(JointDense, cuts_any_number_of_outputs_into_tiles) {
  std::mt19937 random(1);
  for (const std::int64_t out : {1, 15, 31, 32, 33, 63, 64, 65, 97}) {
    const Case one = draw_shards(random, {.in = 20, .out = out}, 2, 6);
    for (const fused::Kernels& kernels : fused::all_kernels())
      ASSERT_TRUE(same_bits(actual(kernels.dense_gradient, one), expected(one)))
          << kernels.instruction_set << ", " << out << " outputs";
  }
}

TEST(JointDense, adds_up_as_many_shards_as_a_batch_may_have) {
  std::mt19937 random(1);
  const Case one = draw_shards(random, {.in = 3, .out = 2}, device::most_joint_shards, 3);
  for (const fused::Kernels& kernels : fused::all_kernels())
    ASSERT_TRUE(same_bits(actual(kernels.dense_gradient, one), expected(one))) << kernels.instruction_set;
}

/// Shards that lie one behind the other in two matrices, the last one first.
std::vector<fused::DenseShard> cut(std::int64_t shards, const std::vector<float>& from,
                                   std::vector<float>& to) {
  std::vector<fused::DenseShard> cut;
  for (std::size_t shard = at(shards); shard-- > 0;)
    cut.push_back({.from = from.data() + shard * (from.size() / at(shards)),
                   .to = to.data() + shard * (to.size() / at(shards))});
  return cut;
}

/// Sixteen chains of fused multiply-adds, added pairwise, neighbours first; then the bias.
float expected_output(std::span<const float> x, std::span<const float> weights) {
  std::array<float, 16> sums{};
  for (std::size_t i = 0; i < x.size(); ++i) sums[i % 16] = std::fmaf(x[i], weights[i], sums[i % 16]);
  for (std::size_t width = 16; width > 1; width /= 2)
    for (std::size_t i = 0; i < width / 2; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
  return sums[0];
}

TEST(DenseForward, is_sixteen_chains_added_pairwise_on_any_instruction_set) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
      std::mt19937 random(seed);
      // More inputs than are taken at a time now and then, and so many that outputs come in groups.
      const std::uint32_t most_inputs = seed % 8 == 0 ? 3000 : 150;
      const fused::DenseExtents extents{.in = 1 + static_cast<std::int64_t>(random() % most_inputs),
                                        .out = 1 + static_cast<std::int64_t>(random() % 70)};
      const auto [in, out] = extents;
      const std::int64_t shards = 1 + seed % 3;
      const std::int64_t samples = shards * (1 + static_cast<std::int64_t>(random() % 9));
      const bool relu = random() % 2 == 0;
      std::vector<float> x = draw(random, samples * in);
      if (random() % 4 == 0) x[random() % x.size()] = NAN;
      const std::vector<float> weights = draw(random, in * out);
      const bool has_bias = random() % 2 == 0;
      const std::vector<float> bias = has_bias ? draw(random, out) : std::vector<float>();
      std::vector<float> y(static_cast<std::size_t>(samples * out), -1.0F);
      std::vector<float> workspace(static_cast<std::size_t>(kernels.dense_forward.workspace(extents)), NAN);
      kernels.dense_forward.compute(extents, samples / shards,
                                    {.shards = cut(shards, x, y),
                                     .weights = weights.data(),
                                     .bias = has_bias ? bias.data() : nullptr,
                                     .relu = relu,
                                     .workspace = workspace.data()});
      for (std::int64_t s = 0; s < samples; ++s)
        for (std::int64_t o = 0; o < out; ++o) {
          const auto row = [in = in](const std::vector<float>& matrix, std::int64_t index) {
            return std::span(matrix).subspan(static_cast<std::size_t>(index * in),
                                             static_cast<std::size_t>(in));
          };
          float wanted = expected_output(row(x, s), row(weights, o));
          if (has_bias) wanted += bias[static_cast<std::size_t>(o)];
          if (relu && wanted < 0) wanted = 0;
          const float got = y[static_cast<std::size_t>(s * out + o)];
          ASSERT_TRUE(std::isnan(wanted)
                          ? std::isnan(got)
                          : std::bit_cast<std::uint32_t>(got) == std::bit_cast<std::uint32_t>(wanted))
              << kernels.instruction_set << ", " << out << " x " << in << ", seed " << seed << ": " << got
              << " instead of " << wanted;
        }
    }
}

/// What both products of a dense layer with its weights take.
struct ProductCase {
  fused::DenseExtents extents;
  std::int64_t shards = 1;
  std::int64_t samples = 0;  ///< of all shards, of each as many
  bool relu = false;
  std::vector<float> x{}, dy{}, weights{}, bias{};
};

ProductCase draw_product(std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(n));
  };
  // Now and then more inputs, outputs and samples than are taken at a time.
  ProductCase one{
      .extents = {.in = 1 + below(seed % 8 == 0 ? 700 : 150), .out = 1 + below(seed % 8 == 1 ? 700 : 150)},
      .shards = 1 + below(4),
      .samples = 1 + below(seed % 8 == 2 ? 150 : 9),
      .relu = below(2) == 0};
  one.samples *= one.shards;
  const auto [in, out] = one.extents;
  one.x = draw(random, one.samples * in);
  one.dy = draw(random, one.samples * out);
  one.weights = draw(random, in * out);
  if (below(2) == 0) one.bias = draw(random, out);
  return one;
}

/// For each output one chain of fused multiply-adds that begins with the bias. Zeros of x make no difference.
std::vector<float> expected_outputs(const ProductCase& one) {
  const auto [in, out] = one.extents;
  std::vector<float> y;
  for (std::int64_t s = 0; s < one.samples; ++s)
    for (std::int64_t o = 0; o < out; ++o) {
      float sum = one.bias.empty() ? 0 : one.bias[at(o)];
      for (std::int64_t i = 0; i < in; ++i)
        sum = std::fmaf(one.x[at(s * in + i)], one.weights[at(o * in + i)], sum);
      y.push_back(one.relu && sum < 0 ? 0 : sum + 0.0F);  // -0 becomes +0
    }
  return y;
}

std::vector<float> expected_data_gradient(const ProductCase& one) {
  const auto [in, out] = one.extents;
  std::vector<float> dx;
  for (std::int64_t s = 0; s < one.samples; ++s)
    for (std::int64_t i = 0; i < in; ++i) {
      float sum = 0;
      for (std::int64_t o = 0; o < out; ++o)
        sum = std::fmaf(one.dy[at(s * out + o)], one.weights[at(o * in + i)], sum);
      dx.push_back(sum + 0.0F);
    }
  return dx;
}

std::vector<float> outputs(const fused::DenseProduct& product, const ProductCase& one) {
  std::vector<float> packed(at(product.packed_floats(one.extents)), NAN);
  for (std::int64_t piece = product.packing_pieces(one.extents); piece-- > 0;)  // in any order
    product.pack(one.extents, piece, one.weights.data(), packed.data());
  std::vector<float> y(at(one.samples * one.extents.out), NAN);
  product.forward(one.extents, one.samples / one.shards,
                  {.shards = cut(one.shards, one.x, y),
                   .weights = packed.data(),
                   .bias = one.bias.empty() ? nullptr : one.bias.data(),
                   .relu = one.relu});
  return y;
}

std::vector<float> data_gradient(const fused::DenseProduct& product, const ProductCase& one) {
  std::vector<float> dx(at(one.samples * one.extents.in), NAN);
  product.data_gradient(one.extents, one.samples / one.shards, cut(one.shards, one.dy, dx),
                        one.weights.data());
  return dx;
}

/// To the bit, but for those of a NaN.
void expect_equal(const std::vector<float>& actual, const std::vector<float>& expected, const char* what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_TRUE(std::isnan(expected[i])
                    ? std::isnan(actual[i])
                    : std::bit_cast<std::uint32_t>(actual[i]) == std::bit_cast<std::uint32_t>(expected[i]))
        << what << "[" << i << "] is " << actual[i] << " instead of " << expected[i];
}

void expect_mostly_finite(const std::vector<float>& values) {
  const auto finite = std::ranges::count_if(values, [](float value) { return std::isfinite(value); });
  ASSERT_GE(20 * finite, 19 * std::ssize(values));
}

std::string text(const fused::Kernels& kernels, const ProductCase& one, std::uint32_t seed) {
  return fmt::format("{}, {} samples in {} shards, {} x {}, seed {}", kernels.instruction_set, one.samples,
                     one.shards, one.extents.out, one.extents.in, seed);
}

void check_product(const fused::Kernels& kernels, const ProductCase& one) {
  expect_equal(outputs(kernels.dense_product, one), expected_outputs(one), "y");
  expect_equal(data_gradient(kernels.dense_product, one), expected_data_gradient(one), "dx");
}

TEST(DenseProduct, is_a_chain_for_each_output_on_any_instruction_set) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 80 && !HasFatalFailure(); ++seed) {
      const ProductCase one = draw_product(seed);
      SCOPED_TRACE(text(kernels, one, seed));
      check_product(kernels, one);
      expect_mostly_finite(expected_outputs(one));
      expect_mostly_finite(expected_data_gradient(one));
    }
}

TEST(DenseProduct, is_the_same_where_blocks_are_fetched_ahead) {
  // Large weights, and samples of which the last group has few.
  constexpr fused::DenseExtents extents{.in = 610, .out = 530};
  constexpr std::int64_t shards = 5, samples = shards * 27;
  std::mt19937 random(1);
  const ProductCase one{.extents = extents,
                        .shards = shards,
                        .samples = samples,
                        .x = draw(random, samples * extents.in),
                        .dy = draw(random, samples * extents.out),
                        .weights = draw(random, extents.in * extents.out),
                        .bias = draw(random, extents.out)};
  for (const fused::Kernels& kernels : fused::all_kernels()) {
    SCOPED_TRACE(kernels.instruction_set);
    check_product(kernels, one);
    if (HasFatalFailure()) return;
  }
}

/// Zeros that are left out would have made NaN of it: all of x and dy are zero but for one number each.
TEST(DenseProduct, passes_on_a_weight_that_is_not_finite_even_where_it_meets_zeros) {
  const fused::DenseExtents extents{.in = 300, .out = 260};
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (const std::int64_t place :
         {std::int64_t{0}, extents.in - 1, 130 * extents.in + 150, extents.in * extents.out - 1})
      for (const float value : {NAN, INFINITY}) {
        std::mt19937 random(1);
        ProductCase one{.extents = extents, .samples = 3, .relu = value == INFINITY};
        one.x.resize(at(3 * extents.in));
        one.dy.resize(at(3 * extents.out));
        one.x[at(extents.in)] = one.dy[at(extents.out)] = 1;
        one.weights = draw(random, extents.in * extents.out);
        one.weights[at(place)] = value;
        SCOPED_TRACE(fmt::format("{} at {}, {}", value, place, kernels.instruction_set));
        check_product(kernels, one);
        if (HasFatalFailure()) return;
      }
}

TEST(DenseProduct, passes_on_inputs_that_are_not_finite) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 60 && !HasFatalFailure(); ++seed) {
      ProductCase one = draw_product(seed);
      std::mt19937 random(seed);
      const float value = random() % 2 == 0 ? NAN : INFINITY;
      one.x[random() % one.x.size()] = value;
      one.dy[random() % one.dy.size()] = value;
      SCOPED_TRACE(text(kernels, one, seed));
      check_product(kernels, one);
    }
}

/// A product that underflows makes -0 of a sum. Zeros behind it, which are left out, would make it +0; those
/// in the block of an infinity are not left out, and which these are depends on the size of blocks.
TEST(DenseProduct, has_no_negative_zeros) {
  constexpr std::int64_t extent = 300;
  for (const float last : {1.0F, INFINITY}) {
    ProductCase one{.extents = {.in = extent, .out = extent}, .samples = 1, .relu = false};
    one.x.resize(extent);
    one.x[0] = 1e-30F;
    one.dy = one.x;
    one.weights.assign(extent * extent, 1);
    for (std::int64_t i = 0; i < extent; ++i) one.weights[at(i)] = one.weights[at(extent * i)] = -1e-30F;
    one.weights.back() = last;
    for (const fused::Kernels& kernels : fused::all_kernels()) {
      SCOPED_TRACE(kernels.instruction_set);
      check_product(kernels, one);
      EXPECT_FALSE(std::signbit(outputs(kernels.dense_product, one).front()));
      EXPECT_FALSE(std::signbit(data_gradient(kernels.dense_product, one).front()));
    }
  }
}

TEST(JointDense, passes_on_what_is_not_finite_even_where_it_meets_zeros) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 60 && !HasFatalFailure(); ++seed) {
      Case one = draw_case(seed);
      std::mt19937 random(seed);
      for (Shard& shard : one.shards) {
        std::vector<float>& values = random() % 2 == 0 ? shard.x : shard.dy;
        if (!values.empty()) values[random() % values.size()] = random() % 2 == 0 ? NAN : INFINITY;
      }
      SCOPED_TRACE(fmt::format("{}, seed {}", kernels.instruction_set, seed));
      expect_equal(actual(kernels.dense_gradient, one), expected(one), "weight gradient");
    }
}

/// One whole gradient, with what is kept for joint gradients or without, from a network of two large dense
/// layers.
class JointGradientsTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t samples = 3;
  JointGradientsTest()
      : network_(NetworkBuilder({300}).dense(256).relu().dense(260, false).dense(4).build()),
        backend_(device::make_cpu_backend()),
        plan_(backend_->plan(network_, samples, device::Mode::training)),
        runner_(plan_->make_runner()),
        weights_(slab()),
        images_(static_cast<std::size_t>(samples * 300)) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.1F);
    for (const Parameter& parameter : network_.parameters.all())
      for (std::int64_t i = 0; i < parameter.count; ++i)
        weights_[static_cast<std::size_t>(parameter.offset + i)] = normal(random);
    for (float& value : images_) value = normal(random);
    plan_->load_weights(weights_);
  }
  [[nodiscard]] std::vector<float> slab(float value = 0) const {
    return std::vector<float>(static_cast<std::size_t>(network_.parameters.slab_size()), value);
  }
  void train(std::vector<float>& gradient, float* kept) {
    runner_->train(
        {.images = images_.data(), .labels = labels_.data(), .rows = rows_.data(), .epoch = 1, .kept = kept},
        gradient);
  }

  device::Network network_;
  std::unique_ptr<device::Backend> backend_;
  std::unique_ptr<device::Plan> plan_;
  std::unique_ptr<device::ShardRunner> runner_;
  std::vector<float> weights_, images_;
  std::array<std::int32_t, samples> labels_{0, 3, 1};
  std::array<std::int64_t, samples> rows_{0, 1, 2};
};

TEST_F(JointGradientsTest, are_the_bits_of_the_whole_gradient) {
  std::vector<float> whole = slab(NAN);
  train(whole, nullptr);
  const auto joint = backend_->joint_gradients(network_);
  if (!joint) GTEST_SKIP() << "not run: the processor has no fused multiply-adds";
  ASSERT_EQ(joint->ranges().size(), 2U);
  EXPECT_LE(joint->ranges()[0].end, joint->ranges()[1].begin);

  std::vector<float> kept(static_cast<std::size_t>(joint->kept_floats(samples)));
  std::vector<float> gradient = slab(NAN);
  train(gradient, kept.data());
  for (const Range& range : joint->ranges())
    for (std::int64_t i = range.begin; i < range.end; ++i)
      ASSERT_TRUE(std::isnan(gradient[static_cast<std::size_t>(i)])) << "written at " << i;
  const KeptShard shard{.data = kept.data(), .samples = samples};
  for (std::int64_t piece = 0; piece < joint->pieces(); ++piece)
    joint->add_up(piece, {&shard, 1}, gradient.data());
  EXPECT_TRUE(same_bits(gradient, whole));
}

TEST_F(JointGradientsTest, refuse_more_shards_than_the_tree_has_room_for) {
  const auto joint = backend_->joint_gradients(network_);
  if (!joint) GTEST_SKIP() << "not run: the processor has no fused multiply-adds";
  const std::vector<KeptShard> shards(2 * device::most_joint_shards);
  std::vector<float> gradient = slab();
  EXPECT_THROW(joint->add_up(0, shards, gradient.data()), Error);
}

TEST_F(JointGradientsTest, are_left_to_onednn_where_the_experiment_says_so) {
  const auto backend = device::make_cpu_backend({.convolutions = device::ConvolutionMethod::onednn});
  EXPECT_EQ(backend->joint_gradients(network_), nullptr);
}

TEST(JointGradients, are_none_in_a_small_network) {
  const device::Network network = NetworkBuilder({100}).dense(100).relu().dense(4).build();
  EXPECT_EQ(device::make_cpu_backend()->joint_gradients(network), nullptr);
}

}  // namespace
}  // namespace lockstep::testing
