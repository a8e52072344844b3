#include "train/plan_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "base/fault.h"
#include "base/philox.h"
#include "io/hash.h"
#include "nn/init.h"
#include "train/rank_facts.h"

namespace lockstep::train {
namespace {

// Streams of Purpose::plan_check; those of the weights count up from the last.
constexpr std::uint32_t image_stream = 0, label_stream = 1, first_weight_stream = 2;
constexpr std::uint64_t any_seed = 1;  // not the experiment's: the hash speaks of machines

void fill_uniform(double limit, std::uint32_t stream, std::span<float> values) {
  nn::fill(config::UniformInit{limit}, {}, RandomKey(any_seed, Purpose::plan_check, stream), values);
}

std::vector<std::int32_t> generate_labels(std::int64_t samples, std::int64_t classes) {
  const RandomKey key(any_seed, Purpose::plan_check, label_stream);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(samples));
  for (std::size_t i = 0; i < labels.size(); ++i)
    labels[i] = static_cast<std::int32_t>(key.words(0, i, 0)[0] % static_cast<std::uint64_t>(classes));
  return labels;
}

std::uint64_t hash_of(const device::Totals& totals, std::uint64_t gradient) {
  const std::array<std::uint64_t, 4> words{gradient, std::bit_cast<std::uint64_t>(totals.loss),
                                           static_cast<std::uint64_t>(totals.correct),
                                           static_cast<std::uint64_t>(totals.samples)};
  return io::hash64(std::as_bytes(std::span(words)), 0);
}

Facts facts_of(std::span<const PlanHash> plans) {
  Facts facts;
  for (const PlanHash& plan : plans)
    facts.push_back(
        {fmt::format("{} a shard of {} samples",
                     plan.mode == device::Mode::training ? "training" : "evaluating", plan.samples),
         fmt::format("{:016x}", plan.hash)});
  return facts;
}

}  // namespace

void generate_weights(const Parameters& parameters, std::span<float> weights) {
  std::ranges::fill(weights, 0.0F);
  std::uint32_t stream = first_weight_stream;
  for (const Parameter& parameter : parameters.all()) {
    // Uniform within ±√(3 / fan-in) has the variance 1 / fan-in; a bias counts as small beside the sums.
    const std::int64_t outputs = parameter.shape.extents().front();
    const double fan_in = static_cast<double>(parameter.count) / static_cast<double>(outputs);
    fill_uniform(parameter.count == outputs ? 0.1 : std::sqrt(3 / fan_in), stream++,
                 weights.subspan(static_cast<std::size_t>(parameter.offset),
                                 static_cast<std::size_t>(parameter.count)));
  }
}

PlanHash hash_plan(const device::Network& network, device::Mode mode, std::int64_t samples,
                   device::ShardRunner& runner, std::span<float> gradient) {
  std::vector<float> images(static_cast<std::size_t>(samples * network.input.count()));
  fill_uniform(1, image_stream, images);
  const std::vector<std::int32_t> labels = generate_labels(samples, network.classes);
  std::vector<std::int64_t> rows(labels.size());
  std::iota(rows.begin(), rows.end(), 0);
  const device::ShardInput input{
      .images = images.data(), .labels = labels.data(), .rows = rows.data(), .epoch = 1};

  const bool trains = mode == device::Mode::training;
  const device::Totals totals = trains ? runner.train(input, gradient) : runner.evaluate(input);
  if (trains && fault::take_miscompute()) gradient.front() = std::nextafter(gradient.front(), 1.0F);
  const std::uint64_t of_gradient = trains ? io::hash64(std::as_bytes(gradient), 0) : 0;
  return {.mode = mode, .samples = samples, .hash = hash_of(totals, of_gradient)};
}

std::vector<PlanHash> hash_plans(device::Backend& backend, const device::Network& network, device::Mode mode,
                                 std::span<const std::int64_t> samples, std::span<const float> weights,
                                 std::span<float> gradient) {
  std::vector<PlanHash> hashes;
  for (const std::int64_t size : samples) {
    const auto plan = backend.plan(network, size, mode);
    plan->load_weights(weights);
    hashes.push_back(hash_plan(network, mode, size, *plan->make_runner(), gradient));
  }
  return hashes;
}

std::uint64_t check_same_plans(comm::World& world, std::span<const PlanHash> own) {
  const auto all = gather_facts(world, facts_of(own));
  world.agree([&] {
    if (const auto what = difference(all, world.hosts()))
      fail(
          ExitCode::internal,
          "before the first step: the ranks compute different things from the same numbers, although they "
          "run the same build with the same libraries and instruction set (hashes of the results):\n{}\n"
          "Nothing was trained. Suspect the processor or memory of the fewer ranks: leave their host out, or "
          "test it.",
          *what);
  });
  // By name, so that it does not matter which rank has which plans.
  std::map<std::string, std::string> plans;
  for (const Facts& facts : all)
    for (const auto& [name, value] : facts) plans.emplace(name, value);
  std::string text;
  for (const auto& [name, value] : plans) text += fmt::format("{} {}\n", name, value);
  return io::hash64(std::as_bytes(std::span(text)), 0);
}

}  // namespace lockstep::train
