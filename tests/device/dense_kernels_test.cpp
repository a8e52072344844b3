// Kernels of dense layers: the forward pass, and weight gradients that are computed for many shards at once.
// Both are known to the bit, whatever the extents and the instruction set.
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
    shard.samples = below(6);  // none, too
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

/// Sixteen chains of fused multiply-adds, added pairwise, neighbours first; then the bias.
float expected_output(std::span<const float> x, std::span<const float> weights) {
  std::array<float, 16> sums{};
  for (std::size_t i = 0; i < x.size(); ++i) sums[i % 16] = std::fmaf(x[i], weights[i], sums[i % 16]);
  for (std::size_t width = 16; width > 1; width /= 2)
    for (std::size_t i = 0; i < width / 2; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
  return sums[0];
}

TEST(DenseForward, IsSixteenChainsAddedPairwiseOnAnyInstructionSet) {
  for (const fused::Kernels& kernels : fused::all_kernels())
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
      std::mt19937 random(seed);
      // More inputs than are taken at a time now and then, and so many that outputs come in groups.
      const std::uint32_t most_inputs = seed % 8 == 0 ? 3000 : 150;
      const fused::DenseExtents extents{.in = 1 + static_cast<std::int64_t>(random() % most_inputs),
                                        .out = 1 + static_cast<std::int64_t>(random() % 70)};
      const auto [in, out] = extents;
      const std::int64_t samples = 1 + static_cast<std::int64_t>(random() % 9);
      const bool relu = random() % 2 == 0;
      std::vector<float> x = draw(random, samples * in);
      if (random() % 4 == 0) x[random() % x.size()] = NAN;
      const std::vector<float> weights = draw(random, in * out);
      const bool has_bias = random() % 2 == 0;
      const std::vector<float> bias = has_bias ? draw(random, out) : std::vector<float>();
      std::vector<float> y(static_cast<std::size_t>(samples * out), -1.0F);
      std::vector<float> workspace(static_cast<std::size_t>(kernels.dense_forward.workspace(extents)), NAN);
      kernels.dense_forward.compute(extents, samples,
                                    {.x = x.data(),
                                     .weights = weights.data(),
                                     .bias = has_bias ? bias.data() : nullptr,
                                     .relu = relu,
                                     .y = y.data(),
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
