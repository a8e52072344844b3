#include "train/plan_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "comm/collective.h"
#include "metrics/format.h"
#include "train/arithmetic.h"
#include "train/blueprint.h"
#include "train/cores.h"
#include "train/rank_memory.h"
#include "train/settings_text.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

using metrics::grouped;

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f}", static_cast<double>(bytes) / 1e6);
}

/// Pads by characters, not bytes: shapes have a × in them.
std::string padded(const std::string& text, std::size_t width) {
  const auto characters = static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  return text + std::string(width > characters ? width - characters : 0, ' ');
}

std::int64_t parameters_of(const device::Network& network, const std::string& layer) {
  std::int64_t count = 0;
  for (const Parameter& parameter : network.parameters.all())
    if (parameter.name.starts_with(layer + ".")) count += parameter.count;
  return count;
}

std::string describe_data(const Blueprint& blueprint) {
  const data::Stripes stripes = blueprint.train_stripes();
  std::string text =
      fmt::format("data        {} samples of {} {} from {}\n", grouped(blueprint.train.samples),
                  blueprint.train.image.text(), name_of(blueprint.train.image_type), blueprint.train.file);
  if (blueprint.validation)
    text += fmt::format("validation  {} samples from {}\n", grouped(blueprint.validation->samples),
                        blueprint.validation->file);
  const config::Experiment& experiment = blueprint.experiment;
  if (const std::string shared = shared_samples(blueprint); !shared.empty())
    text += fmt::format("warning     {}\n", shared);
  if (experiment.data.augment) text += fmt::format("augmented   {}\n", text_of(*experiment.data.augment));
  if (experiment.training.average)
    text += fmt::format("average     {}\n", text_of(*experiment.training.average));
  const std::int64_t last = stripes.step_samples(stripes.steps() - 1);
  text += fmt::format("steps       {} an epoch of {} samples", grouped(stripes.steps()), stripes.batch());
  if (last != stripes.batch()) text += fmt::format(", the last of {}", last);
  return text + fmt::format(", each in {} shards\n", stripes.shards());
}

/// The layers whose forward pass another implementation computes in evaluation, of shards of one size. Reads
/// what name_implementations() writes.
std::string describe_evaluation(const device::Network& network, const device::Plan& training,
                                const device::Plan& evaluation) {
  std::string text;
  const std::vector<std::string> trained = training.implementations(),
                                 evaluated = evaluation.implementations();
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    const bool same =
        trained[i] == evaluated[i] || trained[i].starts_with(fmt::format("forward {},", evaluated[i]));
    const bool drops_nothing = std::holds_alternative<device::DropoutOp>(network.nodes[i].op);
    if (!same && !drops_nothing)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", network.nodes[i].name, evaluated[i]);
  }
  return text.empty() ? "" : fmt::format("  in evaluation: {}\n", text);
}

std::string describe_layers(const Blueprint& blueprint, const device::Plan& plan) {
  constexpr const char* row = "  {} {} {:>12} {:>14} {:>14} {:>14}  {}\n";
  std::string text = fmt::format(row, padded("layer", 14), padded("output", 12), "parameters", "forward",
                                 "weight grad.", "data grad.", "implementation");
  const device::Network& network = blueprint.network;
  const std::vector<std::string> implementations = plan.implementations();
  device::MultiplyAdds sum;
  for (std::size_t i = 0; i < network.nodes.size(); ++i) {
    const device::Node& node = network.nodes[i];
    const device::MultiplyAdds work = device::multiply_adds(node.op, i == 0);
    sum.forward += work.forward;
    sum.weight_gradient += work.weight_gradient;
    sum.data_gradient += work.data_gradient;
    text += fmt::format(row, padded(node.name, 14), padded(node.out.text(), 12),
                        grouped(parameters_of(network, node.name)), grouped(work.forward),
                        grouped(work.weight_gradient), grouped(work.data_gradient), implementations[i]);
  }
  return "layers (multiply-adds per sample)\n" + text +
         fmt::format(row, padded("total", 14), padded("", 12), grouped(network.parameters.count()),
                     grouped(sum.forward), grouped(sum.weight_gradient), grouped(sum.data_gradient), "");
}

/// In run mode what a ring would send: the library may choose another algorithm.
std::int64_t bytes_sent(const Blueprint& blueprint, int ranks, int rank) {
  const config::Training& training = blueprint.experiment.training;
  const std::int64_t slab = blueprint.network.parameters.slab_size();
  if (training.reproducibility == config::Reproducibility::lockstep)
    return comm::bytes_per_step(slab, training.shards, ranks, rank);
  return 2 * std::int64_t{ranks - 1} * slab / ranks * static_cast<std::int64_t>(sizeof(float));
}

std::string describe_ranks(const Blueprint& blueprint, device::Backend& backend, int ranks) {
  constexpr const char* row = "  {:>5} {:>8} {:>8} {:>10} {:>12} {:>12} {:>8} {:>9} {:>9} {:>11} {:>9}\n";
  std::string text =
      fmt::format("ranks ({} on one host; memory in MB, without the program and its libraries)\n", ranks);
  text += fmt::format(row, "rank", "threads", "shards", "samples", "per step", "MB sent/step", "data",
                      "weights", "gradients", "activations", "total");
  const config::Training& training = blueprint.experiment.training;
  const data::Stripes stripes = blueprint.train_stripes();
  std::vector<std::int64_t> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.push_back(threads_on_one_host(blueprint.experiment, cores_available(), ranks, rank));
  for (int rank = 0; rank < ranks; ++rank) {
    const Range shards = comm::shards_of_rank(training.shards, ranks, rank);
    const RankMemory memory = rank_memory(blueprint, backend, threads, rank);
    const std::int64_t sent = bytes_sent(blueprint, ranks, rank);
    text += fmt::format(
        row, rank, threads[static_cast<std::size_t>(rank)],
        fmt::format("{}-{}", shards.begin, shards.end - 1), grouped(stripes.stripe_rows(shards)),
        stripes.rows(0, shards).size(), megabytes(sent), megabytes(memory.data),
        megabytes(memory.weights + memory.optimizer), megabytes(memory.gradients),
        megabytes(memory.activations + memory.batches + memory.checks), megabytes(memory.total()));
  }
  return text;
}

}  // namespace

std::string plan_report(const config::Experiment& experiment, int ranks) {
  check_ranks(experiment, ranks);
  const Blueprint blueprint = make_blueprint(experiment);
  device::prepare_cpu_thread();
  pin_instruction_set(experiment.device);
  const auto backend = device::make_cpu_backend({.convolutions = experiment.device.convolutions});
  const data::Stripes stripes = blueprint.train_stripes();
  const auto plan_for = [&](device::Mode mode) {
    return backend->plan(blueprint.network, shard_sizes(stripes, {0, stripes.shards()}).front(), mode);
  };
  const auto plan = plan_for(device::Mode::training);
  const std::string evaluation =
      blueprint.validation
          ? describe_evaluation(blueprint.network, *plan, *plan_for(device::Mode::evaluation))
          : "";
  const std::string device =
      experiment.device.kind == config::DeviceKind::cpu
          ? backend->describe()
          : "cuda; no GPU was asked: implementations and memory below are about what they would be on " +
                backend->describe();
  return fmt::format("experiment  {} ({})\ndevice      {}\n", experiment.name, experiment.source, device) +
         describe_data(blueprint) + "\n" + describe_layers(blueprint, *plan) + evaluation + "\n" +
         describe_ranks(blueprint, *backend, ranks);
}

}  // namespace lockstep::train
