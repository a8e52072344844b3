#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/aligned_buffer.h"
#include "device/backend.h"
#include "device/chains.h"
#include "device/cpu/fused/choice.h"
#include "device/cpu/fused/kernels.h"
#include "device/network_builder.h"
#include "device/network_checks.h"

namespace lockstep::testing {
namespace {

using namespace device;

/// By own kernels where a rule chooses them, and by oneDNN alone.
class NetworkTest : public ::testing::TestWithParam<std::tuple<NamedNetwork, ConvolutionMethod>> {
 protected:
  const Network& network = std::get<NamedNetwork>(GetParam()).network;
  const std::unique_ptr<Backend> backend =
      make_cpu_backend({.convolutions = std::get<ConvolutionMethod>(GetParam())});
};

TEST_P(NetworkTest, agrees_with_the_reference) {
  agrees_with_the_reference(*backend, network);
}

TEST_P(NetworkTest, writes_zeros_between_the_parameters) {
  writes_zeros_between_the_parameters(*backend, network);
}

TEST_P(NetworkTest, evaluates_without_dropout) {
  evaluates_without_dropout(*backend, network);
}

TEST_P(NetworkTest, a_used_runner_gives_the_bits_of_a_fresh_one) {
  a_used_runner_gives_the_bits_of_a_fresh_one(*backend, network);
}

TEST_P(NetworkTest, the_gradient_is_the_slope_of_the_loss) {
  the_gradient_is_the_slope_of_the_loss(*backend, network);
}

std::string name_of(const ::testing::TestParamInfo<NetworkTest::ParamType>& info) {
  const auto& [chain, method] = info.param;
  return chain.name + (method == ConvolutionMethod::onednn ? "_by_onednn" : "");
}
INSTANTIATE_TEST_SUITE_P(Chains, NetworkTest,
                         ::testing::Combine(::testing::ValuesIn(chains()),
                                            ::testing::Values(ConvolutionMethod::automatic,
                                                              ConvolutionMethod::onednn)),
                         name_of);

/// With every way to compute convolutions the gradient is the same, but for rounding.
class AnyWayTest : public ::testing::TestWithParam<NamedNetwork> {};
INSTANTIATE_TEST_SUITE_P(Network, AnyWayTest, ::testing::ValuesIn(chains()),
                         [](const auto& chain) { return chain.param.name; });

TEST_P(AnyWayTest, gives_the_same_gradient_but_for_rounding) {
  const Network& network = GetParam().network;
  const auto slab = weights_of(network);
  const Shard shard(network, 5, 3);
  const auto run = [&](ConvolutionMethod method) {
    const auto plan = make_cpu_backend({.convolutions = method})->plan(network, 5, Mode::training);
    plan->load_weights(slab);
    std::vector<float> gradient(slab.size(), std::numeric_limits<float>::quiet_NaN());
    plan->make_runner()->train(shard.input(), gradient);
    return gradient;
  };
  const auto expected = run(ConvolutionMethod::onednn);
  double greatest = 0;
  for (const float value : expected) greatest = std::max<double>(greatest, std::abs(value));
  for (const auto method :
       {ConvolutionMethod::automatic, ConvolutionMethod::winograd, ConvolutionMethod::direct}) {
    const auto actual = run(method);
    for (std::size_t i = 0; i < slab.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-5 * greatest) << i;
  }
}

TEST(Network, takes_its_weights_in_pieces_in_any_order) {
  const Network network =
      NetworkBuilder({3, 12, 12}).conv(48, 5).relu().max_pool(2).conv(96, 3).flatten().dense(10).build();
  const auto slab = weights_of(network);
  const Shard shard(network, 5, 3);
  const auto plan =
      make_cpu_backend({.convolutions = ConvolutionMethod::winograd})->plan(network, 5, Mode::training);
  const Packing packing = plan->packing();
  ASSERT_GT(packing.pieces, 3) << "the second convolution has two orders of weights";
  const auto run = [&] {
    std::vector<float> gradient(slab.size());
    plan->make_runner()->train(shard.input(), gradient);
    return gradient;
  };
  plan->load_weights(slab);
  const auto expected = run();
  plan->load_weights(std::vector<float>(slab.size()));
  const AlignedBuffer<float> packed(static_cast<std::size_t>(packing.floats));
  for (std::int64_t piece = plan->load_pieces(); piece-- > 0;) plan->load_piece(slab, piece, packed.data());
  for (std::int64_t piece = packing.pieces; piece-- > 0;) plan->pack(slab, piece, packed.data());
  EXPECT_EQ(run(), expected);
}

TEST(Network, packs_the_same_for_plans_of_all_sizes) {
  const Network winograd = NetworkBuilder({1, 28, 28})
                               .conv(24, 5)
                               .relu()
                               .max_pool(2)
                               .conv(20, 3)
                               .flatten()
                               .dense(70)
                               .dense(9)
                               .build();
  std::vector<NamedNetwork> networks = chains();
  networks.push_back({"packed", winograd});
  const auto backend = make_cpu_backend();
  const auto bits = [](float value) { return std::bit_cast<std::uint32_t>(value); };
  for (const NamedNetwork& chain : networks)
    for (const Mode mode : {Mode::training, Mode::evaluation}) {
      SCOPED_TRACE(chain.name);
      const auto slab = weights_of(chain.network);
      const auto pack = [&](std::int64_t samples) {
        const auto plan = backend->plan(chain.network, samples, mode);
        AlignedBuffer<float> packed(static_cast<std::size_t>(plan->packing().floats));
        std::ranges::fill(packed.span(), 7.0F);
        for (std::int64_t piece = 0; piece < plan->packing().pieces; ++piece)
          plan->pack(slab, piece, packed.data());
        return packed;
      };
      const AlignedBuffer<float> of_one = pack(1);
      if (cpu::fused::processor_suits() && chain.name == "packed") {
        EXPECT_GT(of_one.size(), 0U);
      }
      for (const std::int64_t samples : {3, 16, 65})
        EXPECT_TRUE(std::ranges::equal(pack(samples).span(), of_one.span(), {}, bits, bits)) << samples;
    }
}

TEST(Network, packs_a_piece_from_the_part_of_the_slab_that_it_names) {
  const Network network = NetworkBuilder({3, 12, 12})
                              .conv(48, 5)
                              .relu()
                              .max_pool(2)
                              .conv(96, 3)
                              .flatten()
                              .dense(403)
                              .relu()
                              .dense(10)
                              .build();
  const auto slab = weights_of(network);
  std::set<std::int64_t> beginnings;
  for (const ConvolutionMethod method :
       {ConvolutionMethod::winograd, ConvolutionMethod::automatic, ConvolutionMethod::onednn}) {
    const auto plan = make_cpu_backend({.convolutions = method})->plan(network, 5, Mode::training);
    const Packing packing = plan->packing();
    const auto pack = [&](std::span<const float> weights, std::int64_t piece) {
      AlignedBuffer<float> packed(static_cast<std::size_t>(packing.floats));
      std::ranges::fill(packed.span(), 7.0F);
      plan->pack(weights, piece, packed.data());
      return packed;
    };
    for (std::int64_t piece = 0; piece < packing.pieces; ++piece) {
      SCOPED_TRACE(piece);
      const Range source = plan->packing_source(piece);
      ASSERT_GT(source.size(), 0);
      ASSERT_TRUE(source.begin >= 0 && source.end <= std::ssize(slab));
      beginnings.insert(source.begin);
      std::vector<float> elsewhere_unknown(slab.size(), std::numeric_limits<float>::quiet_NaN());
      std::copy_n(slab.begin() + source.begin, source.size(), elsewhere_unknown.begin() + source.begin);
      EXPECT_TRUE(std::ranges::equal(pack(elsewhere_unknown, piece).span(), pack(slab, piece).span()));
    }
  }
  if (cpu::fused::processor_suits()) {
    EXPECT_GT(beginnings.size(), 4U) << "a large layer's pieces come from different rows";
  }
}

TEST(Network, without_parameters_has_a_zero_gradient) {
  const Network network = NetworkBuilder({2, 4, 4}).relu().max_pool(2).flatten().build();
  const auto plan = make_cpu_backend()->plan(network, 2, Mode::training);
  plan->load_weights({});
  const Shard shard(network, 2, 1);
  EXPECT_EQ(plan->make_runner()->train(shard.input(), {}).samples, 2);
}

TEST(Network, says_how_it_runs) {
  const Network network = chains()[1].network;
  const auto plan = make_cpu_backend()->plan(network, 16, Mode::training);
  const auto names = plan->implementations();
  EXPECT_EQ(names[1], "fused");
  EXPECT_EQ(names[4], "fused");
  EXPECT_EQ(names[8], "fused");
  for (const auto& name : names) EXPECT_FALSE(name.empty());
  EXPECT_GT(plan->runner_bytes(), 16 * 24 * 12 * 12 * 4);
  const auto evaluation = make_cpu_backend()->plan(network, 16, Mode::evaluation);
  EXPECT_LT(evaluation->runner_bytes(), plan->runner_bytes());
}

/// Own kernels need them.
bool has_fused_multiply_adds() {
  return cpu_instruction_set() != "sse41" && cpu_instruction_set() != "avx";
}

TEST(Network, chooses_how_to_compute_convolutions_by_their_extents_or_as_told) {
  const Network network = NetworkBuilder({1, 20, 20})
                              .conv(24, 5)
                              .relu()
                              .max_pool(2)
                              .conv(48, 3)
                              .relu()
                              .conv(16, 2)
                              .flatten()
                              .dense(10)
                              .build();
  const auto names = [&](ConvolutionMethod method, Mode mode) {
    return make_cpu_backend({.convolutions = method})->plan(network, 16, mode)->implementations();
  };
  for (const Mode mode : {Mode::training, Mode::evaluation}) {
    const auto automatic = names(ConvolutionMethod::automatic, mode);
    if (has_fused_multiply_adds()) {
      EXPECT_EQ(automatic[0], "lockstep:direct_5x5");
      EXPECT_EQ(automatic[1], "fused");
      EXPECT_EQ(automatic[2], "fused");
      EXPECT_EQ(automatic[3], "lockstep:winograd_2x2_3x3");
      EXPECT_EQ(automatic[4], "fused");
    }
    EXPECT_EQ(automatic[5].find("lockstep"), std::string::npos) << automatic[5];
    EXPECT_EQ(names(ConvolutionMethod::winograd, mode)[0], "lockstep:winograd_4x4_5x5");
    const auto direct = names(ConvolutionMethod::direct, mode);
    EXPECT_EQ(direct[0], "lockstep:direct_5x5");
    EXPECT_EQ(direct[3].find("lockstep"), std::string::npos) << direct[3];
    for (const auto& name : names(ConvolutionMethod::onednn, mode))
      EXPECT_EQ(name.find("lockstep"), std::string::npos) << name;
  }
}

TEST(Network, leaves_to_onednn_what_it_computes_faster) {
  if (!has_fused_multiply_adds())
    GTEST_SKIP() << "not run: without fused multiply-adds everything is oneDNN's";
  const auto way = [](std::int64_t in, std::int64_t out, std::int64_t extent, std::int64_t kernel,
                      bool pool) {
    NetworkBuilder builder({in, extent, extent});
    builder.conv(out, kernel, 1, kernel / 2, kernel / 2).relu();
    if (pool) builder.max_pool(2);
    const Network network = builder.flatten().dense(4).build();
    const std::string name = make_cpu_backend()->plan(network, 2, Mode::training)->implementations()[0];
    return name.starts_with("lockstep:") ? name.substr(9, name.rfind('_') - 9) : "onednn";
  };
  EXPECT_EQ(way(256, 256, 8, 3, false), "winograd_4x4");
  EXPECT_EQ(way(512, 512, 8, 3, false), "winograd_2x2");  // smaller tiles need fewer transformed weights
  EXPECT_EQ(way(256, 512, 4, 3, true), "winograd_4x4");
  EXPECT_EQ(way(512, 1024, 4, 3, true), "onednn");  // even for small tiles they take 32 MiB
  EXPECT_EQ(way(4, 32, 8, 3, true), "winograd_4x4");
  EXPECT_EQ(way(4, 32, 6, 3, true), "winograd_2x2");   // as many products, and smaller numbers
  EXPECT_EQ(way(4, 32, 5, 3, false), "winograd_2x2");  // four large tiles would hang over by more than half
  EXPECT_EQ(way(4, 32, 5, 3, true), "winograd_4x4");   // the pool leaves 4×4 of the outputs
  EXPECT_EQ(way(4, 32, 3, 3, true), "winograd_2x2");
  EXPECT_EQ(way(3, 32, 8, 3, true), "winograd_4x4");
  EXPECT_EQ(way(3, 32, 8, 3, false), "onednn");  // nothing saved behind it makes up for the transforms
  EXPECT_EQ(way(3, 32, 8, 5, false), "winograd_4x4");
  EXPECT_EQ(way(2, 32, 8, 5, true), "direct");
  EXPECT_EQ(way(2, 32, 8, 5, false), "onednn");
  EXPECT_EQ(way(1, 32, 8, 3, true), "direct");
  EXPECT_EQ(way(1, 7, 8, 3, true), "onednn");
  EXPECT_EQ(way(16, 32, 2, 5, false), "onednn");  // most inputs of the one tile are padding
  EXPECT_EQ(way(16, 32, 2, 3, false), "onednn");
  EXPECT_EQ(way(16, 32, 4, 5, false), "winograd_4x4");
}

TEST(Network, has_one_copy_of_large_dense_weights_and_none_of_very_large_ones) {
  constexpr std::int64_t padding = std::int64_t{64} * 1024;
  const Network network = NetworkBuilder({768}).dense(512).relu().dense(10).build();
  const Network larger = NetworkBuilder({64}).dense(2048).relu().dense(2049).build();
  for (const ConvolutionMethod method : {ConvolutionMethod::automatic, ConvolutionMethod::onednn}) {
    const auto backend = make_cpu_backend({.convolutions = method});
    const auto copied = [&](const Network& planned, Mode mode) {
      const auto plan = backend->plan(planned, 16, mode);
      return plan->shared_bytes() + plan->packing().floats * std::int64_t{sizeof(float)};
    };
    EXPECT_LE(copied(network, Mode::training), 768 * 512 * 4 + padding);
    for (const Mode mode : {Mode::training, Mode::evaluation})
      EXPECT_LE(copied(larger, mode), 2048 * 64 * 4 + padding) << "too large for a copy";
  }
}

/// 'x' for each dense layer whose forward pass is own.
std::string own_dense_layers(const Network& network, Mode mode) {
  std::string own;
  const auto names = make_cpu_backend()->plan(network, 16, mode)->implementations();
  for (std::size_t i = 0; i < names.size(); ++i)
    if (std::holds_alternative<DenseOp>(network.nodes[i].op))
      own += names[i].find("lockstep:dense") != std::string::npos ? 'x' : '-';
  return own;
}

/// The suffix of this test's name in ctest says what the environment allows.
TEST(Network, own_kernels_keep_to_the_instruction_set) {
  const std::string own = cpu::fused::kernels().instruction_set;
  const char* const limit = std::getenv("ONEDNN_MAX_CPU_ISA");
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "not run: this processor has no AVX2";
  if (limit != nullptr) {
    EXPECT_EQ(own, "AVX2");
  } else if (__builtin_cpu_supports("avx512vl")) {
    EXPECT_EQ(own.substr(0, 4), "AVX3");
  }
}

TEST(Network, computes_all_dense_layers_with_own_kernels_in_training) {
  if (!has_fused_multiply_adds())
    GTEST_SKIP() << "not run: without fused multiply-adds everything is oneDNN's";
  const Network network = NetworkBuilder({1800}).dense(64).dense(3).dense(2000).dense(2500).dense(1).build();
  EXPECT_EQ(own_dense_layers(network, Mode::training), "xxxxx");
}

TEST(Network,
     leaves_dense_layers_that_are_packed_to_onednn_in_evaluation_unless_many_of_their_inputs_are_zero) {
  if (!has_fused_multiply_adds())
    GTEST_SKIP() << "not run: without fused multiply-adds everything is oneDNN's";
  const auto own = [](NetworkBuilder builder, std::int64_t outputs = 400) {
    return own_dense_layers(builder.flatten().dense(outputs).build(), Mode::evaluation);
  };
  const auto from = [] { return NetworkBuilder({2, 20, 20}); };
  EXPECT_EQ(own(from().relu()), "x");
  EXPECT_EQ(own(from().relu().max_pool(2)), "x");
  EXPECT_EQ(own(from().relu().dropout(0.5)), "x");
  EXPECT_EQ(own(from()), "-");
  EXPECT_EQ(own(from().relu().pool(Pool2dOp::Kind::average, 2, 2)), "-");
  EXPECT_EQ(own(from().relu().activation(ActivationOp::Kind::tanh)), "-");
  EXPECT_EQ(own(from().activation(ActivationOp::Kind::tanh)), "-");
  EXPECT_EQ(own(from().relu().flatten().dense(400)), "x-") << "the second follows the first";
  EXPECT_EQ(own(from(), 60), "x") << "too few outputs for packed weights";
  EXPECT_EQ(own(from(), 5300), "x") << "more than 4 Mi weights";
}

}  // namespace
}  // namespace lockstep::testing
