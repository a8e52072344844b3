#include "train/blueprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/check.h"
#include "metrics/format.h"
#include "nn/graph.h"

namespace lockstep::train {
namespace {

void check_validation_fits(const config::Experiment& experiment, const data::DatasetInfo& train,
                           const data::DatasetInfo& validation) {
  if (validation.image != train.image)
    fail(ExitCode::bad_data, "{}: images of {} are {}, but those of {} in {} are {}", validation.file,
         experiment.data.validation->images, validation.image.text(), experiment.data.train.images,
         train.file, train.image.text());
}

void check_batch(const config::Experiment& experiment, const data::DatasetInfo& train) {
  if (experiment.training.batch > train.samples)
    fail(ExitCode::bad_config,
         "{}: training.batch is {}, but {} in {} has {} samples: set training.batch to at most that",
         experiment.source, experiment.training.batch, experiment.data.train.images, train.file,
         train.samples);
}

/// The lines of the manifest in one.
std::string checksums_of(const data::DatasetInfo& info) {
  check(!info.manifest.empty(), "a manifest has a line for images and one for labels");
  std::string text;
  for (const char letter : info.manifest) text += letter == '\n' ? std::string(", ") : std::string(1, letter);
  return text.substr(0, text.size() - 2);
}

std::string fingerprint_of(const data::DatasetInfo& info) {
  const std::string rows = info.rows ? fmt::format(" (rows {} to {})", info.rows->begin, info.rows->end) : "";
  return fmt::format("{} bytes, {} samples{} of {} ({}) in {} classes, checksums {}", info.file_bytes,
                     info.samples, rows, info.image.text(), name_of(info.image_type), info.classes,
                     checksums_of(info));
}

void check_same_file(comm::World& world, const data::DatasetInfo& info) {
  const std::string mine = fingerprint_of(info);
  const std::string roots = world.broadcast(mine);
  world.agree([&] {
    if (mine != roots)
      fail(ExitCode::bad_data, "{} is not the file that rank 0 on {} reads: here {}; there {}. Copy it anew.",
           info.file, world.hosts().front(), mine, roots);
  });
}

}  // namespace

data::Stripes Blueprint::train_stripes() const {
  return {train.samples, experiment.training.batch, experiment.training.shards};
}

data::Sampler Blueprint::train_sampler() const {
  return {train_stripes(), experiment.data.shuffle, experiment.seed};
}

data::Stripes Blueprint::validation_stripes() const {
  return {validation.value().samples, experiment.training.batch, experiment.training.shards};
}

namespace {

/// That at least one of the steps whose weights are averaged comes.
void check_average(const Blueprint& blueprint) {
  const config::Training& training = blueprint.experiment.training;
  if (!training.average || training.average->every_steps == 0) return;
  const std::int64_t steps = blueprint.steps_per_epoch();
  const std::int64_t every = training.average->every_steps;
  if (training.epochs * steps / every > (training.average->from_epoch - 1) * steps / every) return;
  fail(
      ExitCode::bad_config,
      "{}: training.average.every_steps is {}, but none of the steps from epoch {} to the end, step {}, is a "
      "multiple of it: nothing would be averaged",
      blueprint.experiment.source, every, training.average->from_epoch, training.epochs * steps);
}

}  // namespace

Blueprint make_blueprint(const config::Experiment& experiment) {
  Blueprint blueprint{.experiment = experiment,
                      .train = data::inspect_dataset(experiment.data.train),
                      .validation = std::nullopt,
                      .network = {}};
  check_batch(experiment, blueprint.train);
  const data::DatasetInfo* most_classes = &blueprint.train;
  if (experiment.data.augment) static_cast<void>(augmentation(blueprint));
  if (experiment.data.validation) {
    blueprint.validation = data::inspect_dataset(*experiment.data.validation);
    check_validation_fits(experiment, blueprint.train, *blueprint.validation);
    if (blueprint.validation->classes > blueprint.train.classes) most_classes = &*blueprint.validation;
  }
  blueprint.network = nn::build_network(experiment, blueprint.train.image, most_classes->classes,
                                        most_classes->smallest_label);
  check_average(blueprint);
  return blueprint;
}

std::string shared_samples(const Blueprint& blueprint) {
  const config::Data& data = blueprint.experiment.data;
  if (!blueprint.validation) return "";
  const auto name = [](const std::string& path) {  // "/train/images" is "train/images"
    return path.substr(std::min(path.find_first_not_of('/'), path.size()));
  };
  if (name(data.validation->images) != name(data.train.images)) return "";
  std::error_code unknown;  // then they are taken for different files
  if (!std::filesystem::equivalent(data.train.file, data.validation->file, unknown)) return "";
  const auto rows = [](const data::DatasetInfo& info) { return info.rows.value_or(Range{0, info.samples}); };
  const Range train = rows(blueprint.train), validation = rows(*blueprint.validation);
  const Range both{std::max(train.begin, validation.begin), std::min(train.end, validation.end)};
  if (both.begin >= both.end) return "";
  return fmt::format(
      "{}: data.train and data.validation have {} in common, rows [{}, {}] of {} in {}: the network is "
      "validated on what it is trained on; set data.train.rows and data.validation.rows to keep them apart",
      blueprint.experiment.source, metrics::counted(both.size(), "sample"), both.begin, both.end,
      data.train.images, data.train.file);
}

std::optional<data::Augmentation> augmentation(const Blueprint& blueprint) {
  const config::Experiment& experiment = blueprint.experiment;
  if (!experiment.data.augment) return std::nullopt;
  return data::Augmentation(*experiment.data.augment, experiment.seed, blueprint.train.image,
                            experiment.source);
}

void check_ranks(const config::Experiment& experiment, int ranks) {
  const std::int64_t shards = experiment.training.shards;
  if (ranks <= shards) return;
  std::int64_t enough = shards;
  while (enough < ranks) enough *= 2;
  fail(ExitCode::bad_config,
       "{} ranks cannot share {} shards: start at most {} ranks, or set training.shards={} (which changes "
       "the order of additions, and so the bits of the result)",
       ranks, shards, shards, enough);
}

std::string fingerprint(const Blueprint& blueprint) {
  std::string text = fingerprint_of(blueprint.train);
  if (blueprint.validation) text += "; to validate " + fingerprint_of(*blueprint.validation);
  return text;
}

void check_same_data(comm::World& world, const Blueprint& blueprint) {
  check_same_file(world, blueprint.train);
  if (blueprint.validation) check_same_file(world, *blueprint.validation);
}

}  // namespace lockstep::train
