#include "train/trainer.h"

#include <fmt/format.h>

#include "data/hdf5_dataset.h"
#include "nn/graph.h"
#include "optim/schedule.h"
#include "train/digests.h"
#include "train/signals.h"

namespace lockstep::train {
namespace {

constexpr const char* finished = "finished";
constexpr const char* stopped_by_signal = "stopped by a signal";

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Ownership ownership(const config::Experiment& experiment) {
  return experiment.training.reproducibility == config::Reproducibility::lockstep ? Ownership::slices
                                                                                  : Ownership::everything;
}

void write_digest(const metrics::DigestRecord& record, const Sinks& sinks) {
  for (const auto& sink : sinks) sink->digest(record);
}

/// The slabs of the tree, as many on every rank as the one with the most threads and shards needs.
std::vector<std::span<float>> tree_slabs(comm::World& world, comm::Collective& collective, Range shards,
                                         std::int64_t total_shards, std::int64_t max_threads) {
  std::int64_t needed = comm::LocalTree::slabs_needed(shards, total_shards, static_cast<int>(max_threads));
  world.max({&needed, 1});
  std::vector<std::span<float>> slabs;
  for (std::int64_t i = 0; i < needed; ++i) slabs.push_back(collective.make_slab());
  return slabs;
}

std::unique_ptr<optim::Optimizer> make_optimizer(comm::World& world, const Blueprint& blueprint,
                                                 device::Backend& backend, Range owned) {
  std::unique_ptr<optim::Optimizer> optimizer;
  world.agree([&] { optimizer = optim::make_optimizer(blueprint.experiment.optimizer, backend, owned); });
  return optimizer;
}

std::unique_ptr<data::Dataset> read_training_set(comm::World& world, const Blueprint& blueprint,
                                                 const data::Stripes& stripes, Range shards) {
  const config::Data& settings = blueprint.experiment.data;
  std::unique_ptr<data::Dataset> dataset;
  world.agree([&] {
    dataset = settings.shuffle == config::Shuffle::global
                  ? data::read_dataset(settings.train, blueprint.train, std::nullopt, shards)
                  : data::read_dataset(settings.train, blueprint.train, stripes, shards);
  });
  return dataset;
}

}  // namespace

Trainer::Trainer(comm::World& world, const Blueprint& blueprint, device::Backend& backend,
                 WorkerPool& workers, std::int64_t max_threads)
    : world_(world),
      blueprint_(blueprint),
      stripes_(blueprint.train_stripes()),
      shards_(comm::shards_of_rank(stripes_.shards(), world.size(), world.rank())),
      workers_(workers),
      collective_(comm::make_collective(world, blueprint.network.parameters.slab_size(), stripes_.shards())),
      weights_(collective_->make_slab()),
      reducer_(comm::make_gradient_reducer(blueprint.experiment.training.reproducibility, *collective_,
                                           blueprint.network.parameters.slab_size(), stripes_.shards())),
      tree_(shards_, stripes_.shards(),
            tree_slabs(world, *collective_, shards_, stripes_.shards(), max_threads)),
      optimizer_(make_optimizer(world, blueprint, backend, reducer_->owned())),
      memory_(blueprint.network.parameters, ownership(blueprint.experiment), reducer_->owned(),
              optimizer_->state(), workers_),
      updater_(*reducer_, *optimizer_, memory_, workers_),
      dataset_(read_training_set(world, blueprint, stripes_, shards_)),
      meter_(shards_, stripes_.shards()) {
  world.agree([&] {
    const config::Data& data = blueprint.experiment.data;
    loader_.emplace(*dataset_, data::Sampler(stripes_, data.shuffle, blueprint.experiment.seed),
                    static_cast<float>(data.scale), shards_);
    engine_.emplace(backend, blueprint.network, device::Mode::training, stripes_, shards_, workers_);
    if (blueprint.validation) evaluator_.emplace(blueprint, backend, shards_, workers_);
  });
  nn::initialize_weights(blueprint.experiment, blueprint.network, weights_);
  const Range owned = reducer_->owned();
  memory_.record(owned.begin, weights_.subspan(static_cast<std::size_t>(owned.begin),
                                               static_cast<std::size_t>(owned.size())));
  engine_->weights_changed(weights_);
}

void Trainer::run(const Sinks& sinks, metrics::RunSummary& summary) {
  run_started_ = Clock::now();
  for (std::int64_t epoch = 1; epoch <= blueprint_.experiment.training.epochs; ++epoch) {
    const auto started = Clock::now();
    const EpochEnd end = train_epoch(epoch, sinks, summary);
    summary.seconds = seconds_since(run_started_);
    summary.weights_digest = fmt::format("{:016x}", end.weights_digest);
    metrics::DigestRecord digest{
        .step = summary.steps_done, .epoch = epoch, .weights = end.weights_digest, .at_epoch_end = {}};
    if (!end.whole) {
      world_.agree([&] { write_digest(digest, sinks); });
      summary.status = stopped_by_signal;
      summary.detail = fmt::format("in epoch {}, after step {} of it", epoch,
                                   summary.steps_done - (epoch - 1) * stripes_.steps());
      return;
    }
    const metrics::EpochRecord record = finish_epoch(epoch, started);
    digest.at_epoch_end = epoch_digests(record);
    world_.agree([&] {
      write_digest(digest, sinks);
      for (const auto& sink : sinks) sink->epoch(record);
    });
    summary.epochs_done = epoch;
    summary.last = record;
    if (record.val_accuracy && (!summary.best || *record.val_accuracy > summary.best->val_accuracy))
      summary.best = record;
    summary.seconds = seconds_since(run_started_);
    const bool stop = agree_on_step(epoch + 1, 0, own_status()).stop_requested || end.stop_requested;
    if (stop && epoch < blueprint_.experiment.training.epochs) {
      summary.status = stopped_by_signal;
      summary.detail = fmt::format("after epoch {}", epoch);
      return;
    }
  }
  summary.status = finished;
}

Trainer::EpochEnd Trainer::train_epoch(std::int64_t epoch, const Sinks& sinks, metrics::RunSummary& summary) {
  epoch_started_ = Clock::now();
  epoch_loss_sum_ = 0;
  epoch_correct_ = epoch_samples_ = 0;
  order_hash_ = 0;
  meter_.reset();
  loader_->start(epoch);
  std::int64_t step = 0;
  bool stop = false;
  while (step < stripes_.steps() && !stop) {
    stop = train_step(epoch, step, sinks).stop_requested;
    ++summary.steps_done;
    report_step(epoch, step++, sinks);
  }
  const StepStatus status = agree_on_step(epoch, step, own_status());
  return {.whole = step == stripes_.steps(),
          .stop_requested = stop || status.stop_requested,
          .weights_digest = status.weights_digest};
}

RankStatus Trainer::own_status() {
  RankStatus status;
  status.stop_requested = stop_was_requested();
  status.diverged = diverged_.has_value();
  status.failure = digest_failure_;
  status.memory = memory_.look(weights_);
  return status;
}

/// What all ranks know before the update of `step`, counted from 0, or at the end of the epoch. Collective.
/// Throws on all ranks if any failed, or met a number that is not finite in its last update, or has other
/// weights in memory than were written.
StepStatus Trainer::agree_on_step(std::int64_t epoch, std::int64_t step, const RankStatus& own) {
  const StepStatus status = share_status(world_, own);
  if (status.memory_damaged) memory_.report(world_, weights_, (epoch - 1) * stripes_.steps() + step + 1);
  if (status.diverged) fail_diverged(epoch, step, status);
  return status;
}

/// Forward and backward of the rank's shards, the one status reduction, then exchange and update.
StepStatus Trainer::train_step(std::int64_t epoch, std::int64_t step, const Sinks& sinks) {
  const data::Batch* batch = nullptr;
  device::Totals step_totals;
  std::exception_ptr failure;
  try {
    batch = &loader_->next();
    tree_.reset();
    const auto totals = engine_->train(*batch, tree_);
    meter_.add(totals);
    for (const device::Totals& shard : totals) step_totals += shard;
    order_hash_ += order_hash(*batch, stripes_.shards());
  } catch (...) {
    failure = std::current_exception();
  }
  RankStatus own = own_status();
  if (failure) own.failure = failure;
  own.totals = step_totals;
  const StepStatus status = agree_on_step(epoch, step, own);
  if (!status.loss) fail_diverged(epoch, step, status);

  last_loss_ = status.loss;
  epoch_loss_sum_ += *status.loss * static_cast<double>(status.samples);
  epoch_correct_ += status.correct;
  epoch_samples_ += status.samples;

  // At the end of an epoch the digest goes with the epoch's metrics.
  const std::int64_t global_step = (epoch - 1) * stripes_.steps() + step;
  if (step > 0 || global_step == 0)
    report_digest({.step = global_step, .epoch = epoch, .weights = status.weights_digest, .at_epoch_end = {}},
                  sinks);
  optimizer_->begin_step(global_step + 1, learning_rate(global_step));
  diverged_ = updater_.apply(tree_.partials(), batch->global_samples, weights_);
  engine_->weights_changed(weights_);
  return status;
}

/// The epoch's metrics over all ranks, with the validation set's. Collective.
metrics::EpochRecord Trainer::finish_epoch(std::int64_t epoch, Clock::time_point started) {
  const double training_seconds = seconds_since(started);
  const device::Totals training = meter_.reduce(world_);
  metrics::EpochRecord record{.epoch = epoch,
                              .epochs = blueprint_.experiment.training.epochs,
                              .train_loss = mean_loss(training),
                              .train_accuracy = accuracy(training),
                              .val_loss = std::nullopt,
                              .val_accuracy = std::nullopt,
                              .learning_rate = learning_rate(epoch * stripes_.steps() - 1),
                              .samples_per_second = static_cast<double>(training.samples) / training_seconds};
  if (evaluator_) {
    const device::Totals validation = evaluator_->evaluate(world_, weights_);
    record.val_loss = mean_loss(validation);
    record.val_accuracy = accuracy(validation);
  }
  record.seconds = seconds_since(started);
  return record;
}

/// What must be equal on any ranks, besides the weights. Collective.
metrics::EpochDigests Trainer::epoch_digests(const metrics::EpochRecord& record) {
  // Where every rank owns everything, rank 0's will do.
  const bool counts = memory_.ownership() == Ownership::slices || world_.is_root();
  const std::uint64_t state = counts ? memory_.recorded_state() : 0;
  return {.optimizer = wrapping_sum(world_, state),
          .samples = wrapping_sum(world_, order_hash_),
          .metrics = metrics_hash(record)};
}

/// In the midst of a step a failure to write is this rank's own: the next status tells all ranks.
void Trainer::report_digest(const metrics::DigestRecord& record, const Sinks& sinks) {
  try {
    write_digest(record, sinks);
  } catch (...) {
    digest_failure_ = std::current_exception();
  }
}

void Trainer::report_step(std::int64_t epoch, std::int64_t step, const Sinks& sinks) {
  if (sinks.empty()) return;
  const std::int64_t epochs = blueprint_.experiment.training.epochs;
  const double rate = static_cast<double>(epoch_samples_) / seconds_since(epoch_started_);
  const std::int64_t samples_left = (epochs - epoch + 1) * blueprint_.train.samples - epoch_samples_;
  const metrics::StepRecord record{
      .epoch = epoch,
      .epochs = epochs,
      .step = step + 1,
      .steps = stripes_.steps(),
      .loss = epoch_loss_sum_ / static_cast<double>(epoch_samples_),
      .accuracy = static_cast<double>(epoch_correct_) / static_cast<double>(epoch_samples_),
      .samples_per_second = rate,
      .seconds_left = static_cast<double>(samples_left) / rate};
  for (const auto& sink : sinks) sink->step(record);
}

/// `step` of `epoch` is where the ranks found out: the loss is that step's, a spoilt update the one before
/// it.
void Trainer::fail_diverged(std::int64_t epoch, std::int64_t step, const StepStatus& status) {
  if (status.diverged) {
    const std::int64_t before = (epoch - 1) * stripes_.steps() + step - 1;
    epoch = before / stripes_.steps() + 1;
    step = before % stripes_.steps();
  }
  const Divergence where{
      .epoch = epoch, .step = step + 1, .steps = stripes_.steps(), .last_good_loss = last_loss_};
  throw_divergence(world_, blueprint_.network.parameters, where, diverged_);
}

double Trainer::learning_rate(std::int64_t global_step) const {
  const config::Experiment& experiment = blueprint_.experiment;
  return optim::learning_rate(experiment.schedule, optim::base_learning_rate(experiment.optimizer),
                              global_step, stripes_.steps(), experiment.training.epochs);
}

}  // namespace lockstep::train
