#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>

#include "device/cpu/elementwise.h"
#include "device_cuda/standin_device.h"
#include "tensor/parameters.h"

// On the device as on the processor, bit by bit.
namespace lockstep::testing {
namespace {

using device::AdamWArguments;
using device::SgdArguments;
using device::UpdateArguments;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

std::int64_t blocks_of(std::int64_t count) {
  return (count + Parameters::block - 1) / Parameters::block;
}

/// A slab with its gradient and what optimizers keep.
struct Tensors {
  explicit Tensors(std::int64_t size)
      : count(size),
        weights(random_floats(size, 1)),
        gradient(random_floats(size, 2)),
        first(random_floats(size, 3)),
        second(random_floats(size, 4)) {
    for (float& value : second) value = std::abs(value);
  }

  std::int64_t count;
  std::vector<float> weights, gradient, first, second;
};

/// What an update left: tensors by their bits, and a flag for each block.
struct Outcome {
  std::vector<std::uint32_t> weights, first, second, not_finite;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

enum class Rule { sgd, momentum, nesterov, adamw };

UpdateArguments arguments_of(Rule rule, float rate) {
  UpdateArguments arguments;
  arguments.sgd = {.learning_rate = rate,
                   .momentum = rule == Rule::sgd ? 0 : 0.9F,
                   .weight_decay = 0.01F,
                   .nesterov = rule == Rule::nesterov};
  arguments.adamw = {.learning_rate = rate,
                     .beta1 = 0.9F,
                     .beta2 = 0.999F,
                     .epsilon = 1e-8F,
                     .weight_decay = 0.01F,
                     .correction1 = 10,
                     .correction2 = 1000};
  return arguments;
}

/// Block by block on the processor: `steps` updates, at a rate that falls.
Outcome on_processor(Rule rule, Tensors t, int steps) {
  std::vector<std::uint32_t> flags(static_cast<std::size_t>(blocks_of(t.count)), 0);
  for (int step = 0; step < steps; ++step) {
    const UpdateArguments arguments = arguments_of(rule, 0.1F / static_cast<float>(1 + step));
    for (std::int64_t first = 0; first < t.count; first += Parameters::block) {
      const std::int64_t count = std::min(Parameters::block, t.count - first);
      const bool finite =
          rule == Rule::adamw
              ? device::cpu::adamw(arguments.adamw, t.weights.data() + first, t.gradient.data() + first,
                                   t.first.data() + first, t.second.data() + first, count)
              : device::cpu::sgd(arguments.sgd, t.weights.data() + first, t.gradient.data() + first,
                                 t.first.data() + first, count);
      if (!finite) flags[static_cast<std::size_t>(first / Parameters::block)] = 1;
    }
  }
  return {bits(t.weights), bits(t.first), bits(t.second), flags};
}

/// By one graph, launched for each step.
Outcome on_device(const StandinDevice& device, Rule rule, const Tensors& t, int steps,
                  std::uint32_t skip = 0) {
  const auto weights = device.upload(t.weights);
  const auto gradient = device.upload(t.gradient);
  const auto first = device.upload(t.first);
  const auto second = device.upload(t.second);
  const auto flags =
      device.upload(std::vector<std::uint32_t>(static_cast<std::size_t>(blocks_of(t.count)), 0));
  const auto arguments = device->make_array<UpdateArguments>(1);
  const auto graph = device.stream().capture([&] {
    if (rule == Rule::adamw)
      device->adamw_update(device.stream(), arguments.span(), weights.span(), gradient.span(), first.span(),
                           second.span(), flags.span());
    else if (rule == Rule::sgd)
      device->sgd_update(device.stream(), arguments.span(), weights.span(), gradient.span(), {}, false,
                         flags.span());
    else
      device->sgd_update(device.stream(), arguments.span(), weights.span(), gradient.span(), first.span(),
                         true, flags.span());
  });
  for (int step = 0; step < steps; ++step) {
    UpdateArguments now = arguments_of(rule, 0.1F / static_cast<float>(1 + step));
    now.skip = skip;
    device.store(arguments, {now});
    graph->launch(device.stream());
  }
  return {bits(device.download(weights)), bits(device.download(first)), bits(device.download(second)),
          device.download(flags)};
}

TEST(UpdateOfAll, takes_gathered_weights_unless_they_are_to_be_skipped) {
  const StandinDevice device;
  const std::vector<float> old = random_floats(5000, 1), gathered = random_floats(5000, 2);
  for (const std::uint32_t skip : {0U, 1U}) {
    const auto weights = device.upload(old);
    const auto source = device.upload(gathered);
    UpdateArguments now;
    now.skip = skip;
    const auto arguments = device.upload(std::vector<UpdateArguments>{now});
    device->take_weights(device.stream(), arguments.span(), source.span(), weights.span());
    EXPECT_EQ(bits(device.download(weights)), bits(skip == 0 ? gathered : old));
  }
}

class Update : public ::testing::TestWithParam<Rule> {};

TEST_P(Update, gives_the_bits_of_the_processor) {
  const StandinDevice device;
  for (const std::int64_t count : {1, 255, 1023, 1024, 1025, 5000}) {
    const Tensors tensors(count);
    EXPECT_EQ(on_device(device, GetParam(), tensors, 3), on_processor(GetParam(), tensors, 3)) << count;
  }
}

TEST_P(Update, changes_nothing_where_it_is_to_be_skipped) {
  const StandinDevice device;
  Tensors tensors(3 * Parameters::block);
  tensors.gradient[7] = nan;
  const Outcome skipped = on_device(device, GetParam(), tensors, 2, 1);
  EXPECT_EQ(skipped, (Outcome{bits(tensors.weights), bits(tensors.first), bits(tensors.second), {0, 0, 0}}));
}

TEST_P(Update, flags_the_blocks_that_are_not_finite) {
  const StandinDevice device;
  for (const float bad : {infinity, -infinity, nan}) {
    for (const auto member : {&Tensors::weights, &Tensors::gradient, &Tensors::first, &Tensors::second}) {
      Tensors tensors(5 * Parameters::block);
      (tensors.*member)[1024] = bad;
      (tensors.*member)[4095] = bad;
      const Outcome expected = on_processor(GetParam(), tensors, 1);
      const Outcome outcome = on_device(device, GetParam(), tensors, 1);
      EXPECT_EQ(outcome.not_finite, expected.not_finite);
    }
  }
}

// The largest floats are finite; what they overflow to in the update is not.
TEST_P(Update, flags_what_overflows) {
  const StandinDevice device;
  Tensors tensors(2 * Parameters::block);
  std::ranges::fill(tensors.gradient, 0.0F);
  tensors.gradient[1500] = std::numeric_limits<float>::max();
  const Outcome expected = on_processor(GetParam(), tensors, 2);
  EXPECT_EQ(on_device(device, GetParam(), tensors, 2), expected);
}

TEST_P(Update, clears_no_flag) {
  const StandinDevice device;
  Tensors tensors(2 * Parameters::block);
  const auto weights = device.upload(tensors.weights);
  const auto state = device.upload(tensors.first);
  const auto second = device.upload(tensors.second);
  const auto gradient = device.upload(tensors.gradient);
  const auto flags = device.upload(std::vector<std::uint32_t>{1, 0});
  const auto arguments = device.upload(std::vector{arguments_of(GetParam(), 0.1F)});
  if (GetParam() == Rule::adamw)
    device->adamw_update(device.stream(), arguments.span(), weights.span(), gradient.span(), state.span(),
                         second.span(), flags.span());
  else
    device->sgd_update(device.stream(), arguments.span(), weights.span(), gradient.span(), state.span(),
                       GetParam() != Rule::sgd, flags.span());
  EXPECT_EQ(device.download(flags), (std::vector<std::uint32_t>{1, 0}));
}

std::string name_of(const ::testing::TestParamInfo<Rule>& test) {
  constexpr std::array names = {"sgd", "momentum", "nesterov", "adamw"};
  return names[static_cast<std::size_t>(test.param)];
}

INSTANTIATE_TEST_SUITE_P(Rules, Update,
                         ::testing::Values(Rule::sgd, Rule::momentum, Rule::nesterov, Rule::adamw), name_of);

}  // namespace
}  // namespace lockstep::testing
