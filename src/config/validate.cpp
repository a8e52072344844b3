#include "config/validate.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <variant>

namespace lockstep::config {
namespace {

void check_nesterov(const Experiment& experiment, const Provenance& provenance, Problems& problems) {
  const auto* sgd = std::get_if<Sgd>(&experiment.optimizer);
  if (sgd == nullptr || !sgd->nesterov || sgd->momentum > 0) return;
  if (!provenance.is_sound("optimizer.sgd.momentum") || !provenance.is_sound("optimizer.sgd.nesterov"))
    return;
  problems.add(provenance.place_of("optimizer.sgd.nesterov"),
               "optimizer.sgd.nesterov needs a momentum above 0: it is how far ahead the step looks");
}

void check_layer_names(const Experiment& experiment, const Provenance& provenance, Problems& problems) {
  std::map<std::string, std::size_t> first_of_name;
  for (std::size_t i = 0; i < experiment.model.size(); ++i) {
    const std::string& name = experiment.model[i].name;
    if (!provenance.is_sound(fmt::format("model.{}.name", i))) continue;
    const auto [first, is_new] = first_of_name.emplace(name, i);
    if (is_new) continue;
    const Place other = provenance.place_of(fmt::format("model.{}.name", first->second));
    problems.add(provenance.place_of(fmt::format("model.{}.name", i)),
                 fmt::format("two layers are named '{}', layer {} and layer {} at {}: give one another name",
                             name, i, first->second, problems.name_of(other)));
  }
}

/// A window that lies wholly in the padding would have no value at all.
template <class Pool>
void check_pool_padding(const Pool& pool, const std::string& path, const Provenance& provenance,
                        Problems& problems) {
  if (!provenance.is_sound(path + ".size") || !provenance.is_sound(path + ".padding")) return;
  const auto [height, width] = pool.size;
  const Padding& padding = pool.padding;
  if (padding.top < height && padding.bottom < height && padding.left < width && padding.right < width)
    return;
  problems.add(
      provenance.place_of(path + ".padding"),
      fmt::format("{}.padding must be smaller than the window, which is {} × {}", path, height, width));
}

void check_pools(const Experiment& experiment, const Provenance& provenance, Problems& problems) {
  for (std::size_t i = 0; i < experiment.model.size(); ++i) {
    const std::string path = fmt::format("model.{}", i);
    const LayerSpec& spec = experiment.model[i].spec;
    if (const auto* pool = std::get_if<MaxPool>(&spec)) check_pool_padding(*pool, path, provenance, problems);
    if (const auto* pool = std::get_if<AvgPool>(&spec)) check_pool_padding(*pool, path, provenance, problems);
  }
}

void check_precision(const Experiment& experiment, const Provenance& provenance, Problems& problems) {
  const Device& device = experiment.device;
  if (device.kind != DeviceKind::cpu || device.precision == Precision::fp32) return;
  if (!provenance.is_sound("device.kind") || !provenance.is_sound("device.precision")) return;
  problems.add(provenance.place_of("device.precision"),
               "device.precision needs device.kind cuda: a CPU computes in fp32 throughout");
}

/// Two ranks of a host that are given one GPU.
void check_gpus(const Experiment& experiment, const Provenance& provenance, Problems& problems) {
  const Device& device = experiment.device;
  if (device.exchange == Exchange::mpi || device.exchange == Exchange::cuda_aware_mpi) return;
  if (!provenance.is_sound("device.gpus") || !provenance.is_sound("device.exchange")) return;
  std::set<std::int64_t> listed;
  for (const std::int64_t gpu : device.gpus)
    if (!listed.insert(gpu).second)
      return problems.add(provenance.place_of("device.gpus"),
                          fmt::format("device.gpus lists {} twice: ranks can share a GPU only with "
                                      "device.exchange mpi or cuda_aware_mpi",
                                      gpu));
}

void check_average(const Experiment& experiment, const Provenance& provenance, Problems& problems) {
  const Training& training = experiment.training;
  if (!training.average || training.average->from_epoch <= training.epochs) return;
  if (!provenance.is_sound("training.average.from_epoch") || !provenance.is_sound("training.epochs")) return;
  problems.add(provenance.place_of("training.average.from_epoch"),
               fmt::format("training.average.from_epoch is {}, but the training ends after epoch {}: nothing "
                           "would be averaged",
                           training.average->from_epoch, training.epochs));
}

}  // namespace

void validate(const Experiment& experiment, const Provenance& provenance, Problems& problems) {
  check_nesterov(experiment, provenance, problems);
  check_layer_names(experiment, provenance, problems);
  check_pools(experiment, provenance, problems);
  check_precision(experiment, provenance, problems);
  check_gpus(experiment, provenance, problems);
  check_average(experiment, provenance, problems);
}

}  // namespace lockstep::config
