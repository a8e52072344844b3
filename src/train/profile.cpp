#include "train/profile.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace lockstep::train {
namespace {

using comm::Phase;
using nlohmann::json;
using std::chrono::nanoseconds;

/// Nanoseconds over a training as milliseconds a step.
class PerStep {
 public:
  explicit PerStep(std::int64_t steps)
      : scale_(1e-6 / static_cast<double>(std::max<std::int64_t>(steps, 1))) {}
  double operator()(nanoseconds time) const { return static_cast<double>(time.count()) * scale_; }

 private:
  double scale_;
};

json rank_times(const comm::PhaseTimes& phases, const PerStep& per_step) {
  nanoseconds waiting{};
  const auto all = [&](std::initializer_list<Phase> together) {
    nanoseconds sum{};
    for (const Phase phase : together) {
      sum += phases.of(phase).all;
      waiting += phases.of(phase).waiting;
    }
    return per_step(sum);
  };
  const nanoseconds after_packing = phases.of(Phase::packing).waiting;
  const nanoseconds after_computing = phases.of(Phase::computing_together).waiting;
  json times{{"loading", all({Phase::loading})},
             {"computing", all({Phase::packing, Phase::computing, Phase::computing_together}) -
                               per_step(after_packing + after_computing)},
             {"status", all({Phase::checking_memory, Phase::sharing_status}) + per_step(after_computing)},
             {"exchange", all({Phase::exchanging})},
             {"update", all({Phase::updating})},
             {"gather", all({Phase::gathering}) + per_step(after_packing)},
             {"rest", all({Phase::preparing_update, Phase::reporting})}};
  times["waiting"] = per_step(waiting);
  return times;
}

metrics::ProfileRecord::Rank rank_of(const json& times) {
  return {.loading = times["loading"],
          .computing = times["computing"],
          .status = times["status"],
          .exchange = times["exchange"],
          .update = times["update"],
          .gather = times["gather"],
          .rest = times["rest"],
          .waiting = times["waiting"]};
}

}  // namespace

Profile::Profile(comm::World& world, const device::Network& network, int workers)
    : world_(world),
      network_(network),
      workers_(static_cast<std::size_t>(workers)),
      phases_(world.activity()) {
  for (WorkerTimes& worker : workers_) worker.passes.nodes.resize(network.nodes.size());
}

std::string Profile::own_times() const {
  const PerStep per_step(phases_.steps());
  json threads = json::array();
  std::vector<device::PassTimes::Node> layers(network_.nodes.size() + 1);  // the last is the loss
  for (const WorkerTimes& worker : workers_) {
    device::PassTimes::Node passes{.forward = worker.passes.loss, .backward = {}};
    layers.back().forward += worker.passes.loss;
    for (std::size_t i = 0; i < worker.passes.nodes.size(); ++i) {
      const device::PassTimes::Node& node = worker.passes.nodes[i];
      passes.forward += node.forward;
      passes.backward += node.backward;
      layers[i].forward += node.forward;
      layers[i].backward += node.backward;
    }
    threads.push_back({{"packing", per_step(worker.packing)},
                       {"forward", per_step(passes.forward)},
                       {"backward", per_step(passes.backward)},
                       {"adding", per_step(worker.adding)},
                       {"checking", per_step(worker.checking)},
                       {"fetching", per_step(worker.fetching)}});
  }
  json by_layer = json::array();
  for (const device::PassTimes::Node& layer : layers)
    by_layer.push_back({per_step(layer.forward), per_step(layer.backward)});
  return json{{"rank", rank_times(phases_, per_step)}, {"threads", threads}, {"layers", by_layer}}.dump();
}

metrics::ProfileRecord Profile::gather() {
  metrics::ProfileRecord record{.steps = phases_.steps(), .ranks = {}, .threads = {}, .layers = {}};
  for (const device::Node& node : network_.nodes) record.layers.push_back({.name = node.name});
  record.layers.push_back({.name = "loss"});
  const std::vector<std::string> all = world_.all_gather(own_times());
  for (int rank = 0; rank < world_.size(); ++rank) {
    const json told = json::parse(all[static_cast<std::size_t>(rank)]);
    record.ranks.push_back(rank_of(told["rank"]));
    for (std::size_t thread = 0; thread < told["threads"].size(); ++thread) {
      const json& times = told["threads"][thread];
      record.threads.push_back({.rank = rank,
                                .thread = static_cast<int>(thread),
                                .packing = times["packing"],
                                .forward = times["forward"],
                                .backward = times["backward"],
                                .adding = times["adding"],
                                .checking = times["checking"],
                                .fetching = times["fetching"]});
    }
    for (std::size_t i = 0; i < record.layers.size(); ++i) {
      record.layers[i].forward += told["layers"][i][0].get<double>();
      record.layers[i].backward += told["layers"][i][1].get<double>();
    }
  }
  std::erase_if(record.layers, [](const metrics::ProfileRecord::Layer& layer) {
    return layer.forward == 0 && layer.backward == 0;
  });
  return record;
}

}  // namespace lockstep::train
