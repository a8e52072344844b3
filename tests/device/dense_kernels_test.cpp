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
#include <vector>

#include "device/backend.h"
#include "device/cpu/fused/kernels.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

namespace fused = device::cpu::fused;
using device::KeptShard;

struct Shard {
  std::int64_t samples = 0;
  std::vector<float> x, dy;
};

struct Case {
  fused::DenseExtents extents;
  std::vector<Shard> shards;
};

/// Among the numbers are zeros of both signs and some that are so large or small that sums depend on their
/// order.
std::vector<float> draw(std::mt19937& random, std::int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    value = normal(random);
    if (random() % 8 == 0) value *= 1e20F;
    if (random() % 8 == 0) value *= 0.0F;
  }
  return values;
}

Case draw_case(std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(n));
  };
  Case one{.extents = {.in = 1 + below(150), .out = 1 + below(150)}, .shards = {}};
  one.shards.resize(std::size_t{1} << below(5));
  for (Shard& shard : one.shards) {
    shard.samples = below(seed % 8 == 0 ? 70 : 6);  // none, too
    shard.x = draw(random, shard.samples * one.extents.in);
    shard.dy = draw(random, shard.samples * one.extents.out);
  }
  return one;
}

std::vector<float> expected(const Case& one) {
  const auto [in, out] = one.extents;
  std::vector<std::vector<float>> sums;
  for (const Shard& shard : one.shards) {
    std::vector<float>& sum = sums.emplace_back(static_cast<std::size_t>(in * out), 0.0F);
    for (std::int64_t s = 0; s < shard.samples; ++s)
      for (std::int64_t o = 0; o < out; ++o)
        for (std::int64_t i = 0; i < in; ++i) {
          float& element = sum[static_cast<std::size_t>(o * in + i)];
          element = std::fmaf(shard.dy[static_cast<std::size_t>(s * out + o)],
                              shard.x[static_cast<std::size_t>(s * in + i)], element);
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

TEST(JointDense, IsTheTreeOverChainsOfEachShardOnAnyInstructionSet) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 60; ++seed) {
      const Case one = draw_case(seed);
      ASSERT_TRUE(same_bits(actual(kernels.dense_gradient, one), expected(one)))
          << kernels.instruction_set << ", " << one.extents.out << " x " << one.extents.in << ", "
          << one.shards.size() << " shards, seed " << seed;
    }
}

/// A product of a dense layer, C = A B, by kernels and by loops.
struct ProductCase {
  fused::DenseExtents extents;
  std::int64_t samples = 0;
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
      .samples = 1 + below(seed % 8 == 2 ? 150 : 9),
      .relu = below(2) == 0};
  const auto [in, out] = one.extents;
  one.x = draw(random, one.samples * in);
  one.dy = draw(random, one.samples * out);
  one.weights = draw(random, in * out);
  if (below(2) == 0) one.bias = draw(random, out);
  return one;
}

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// For each output one chain of fused multiply-adds that begins with the bias. Zeros of x make no difference
/// but to the sign of a zero.
std::vector<float> expected_outputs(const ProductCase& one) {
  const auto [in, out] = one.extents;
  std::vector<float> y;
  for (std::int64_t s = 0; s < one.samples; ++s)
    for (std::int64_t o = 0; o < out; ++o) {
      float sum = one.bias.empty() ? 0 : one.bias[at(o)];
      for (std::int64_t i = 0; i < in; ++i)
        sum = std::fmaf(one.x[at(s * in + i)], one.weights[at(o * in + i)], sum);
      y.push_back(one.relu && sum < 0 ? 0 : sum);
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
      dx.push_back(sum);
    }
  return dx;
}

std::vector<float> outputs(const fused::DenseProduct& product, const ProductCase& one) {
  std::vector<float> packed(at(product.packed_floats(one.extents)), NAN);
  for (std::int64_t piece = product.packing_pieces(one.extents); piece-- > 0;)  // in any order
    product.pack(one.extents, piece, one.weights.data(), packed.data());
  std::vector<float> y(at(one.samples * one.extents.out), NAN);
  product.forward(one.extents, one.samples,
                  {.x = one.x.data(),
                   .packed = packed.data(),
                   .bias = one.bias.empty() ? nullptr : one.bias.data(),
                   .relu = one.relu,
                   .y = y.data()});
  return y;
}

std::vector<float> data_gradient(const fused::DenseProduct& product, const ProductCase& one) {
  std::vector<float> dx(at(one.samples * one.extents.in), NAN);
  product.data_gradient(one.extents, one.samples, one.dy.data(), one.weights.data(), dx.data());
  return dx;
}

void expect_equal(const std::vector<float>& actual, const std::vector<float>& expected, const char* what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    ASSERT_TRUE(std::isnan(expected[i]) ? std::isnan(actual[i]) : actual[i] == expected[i])
        << what << "[" << i << "] is " << actual[i] << " instead of " << expected[i];
}

std::string text(const fused::Kernels& kernels, const ProductCase& one, std::uint32_t seed) {
  return fmt::format("{}, {} samples, {} x {}, seed {}", kernels.instruction_set, one.samples,
                     one.extents.out, one.extents.in, seed);
}

TEST(DenseProduct, is_a_chain_for_each_output_on_any_instruction_set) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 60 && !HasFatalFailure(); ++seed) {
      const ProductCase one = draw_product(seed);
      SCOPED_TRACE(text(kernels, one, seed));
      expect_equal(outputs(kernels.dense_product, one), expected_outputs(one), "y");
      expect_equal(data_gradient(kernels.dense_product, one), expected_data_gradient(one), "dx");
    }
}

/// Signs of zeros included.
TEST(DenseProduct, has_the_same_bits_on_any_instruction_set) {
  const std::vector<fused::Kernels> all = fused::all_kernels();
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    const ProductCase one = draw_product(seed);
    for (const fused::Kernels& kernels : all) {
      SCOPED_TRACE(text(kernels, one, seed));
      ASSERT_TRUE(same_bits(outputs(kernels.dense_product, one), outputs(all.front().dense_product, one)));
      ASSERT_TRUE(same_bits(data_gradient(kernels.dense_product, one),
                            data_gradient(all.front().dense_product, one)));
    }
  }
}

/// A zero that is left out would have made NaN of it.
TEST(DenseProduct, passes_on_what_is_not_finite_even_where_it_meets_zeros) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 60 && !HasFatalFailure(); ++seed) {
      ProductCase one = draw_product(seed);
      one.relu = false;  // it would stop an infinity
      std::mt19937 random(seed);
      std::vector<float>* const places[] = {&one.x, &one.dy, &one.weights};
      std::vector<float>& values = *places[seed % 3];
      values[random() % values.size()] = random() % 2 == 0 ? NAN : INFINITY;
      SCOPED_TRACE(text(kernels, one, seed));
      expect_equal(outputs(kernels.dense_product, one), expected_outputs(one), "y");
      expect_equal(data_gradient(kernels.dense_product, one), expected_data_gradient(one), "dx");
    }
}

TEST(JointDense, PassesOnWhatIsNotFiniteEvenWhereItMeetsZeros) {
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

TEST_F(JointGradientsTest, AreTheBitsOfTheWholeGradient) {
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

TEST_F(JointGradientsTest, AreLeftToOneDnnWhereTheExperimentSaysSo) {
  const auto backend = device::make_cpu_backend({.convolutions = device::ConvolutionMethod::onednn});
  EXPECT_EQ(backend->joint_gradients(network_), nullptr);
}

TEST(JointGradients, AreNoneInASmallNetwork) {
  const device::Network network = NetworkBuilder({100}).dense(100).relu().dense(4).build();
  EXPECT_EQ(device::make_cpu_backend()->joint_gradients(network), nullptr);
}

}  // namespace
}  // namespace lockstep::testing
