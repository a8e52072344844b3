#include "train/trainer.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/fault.h"
#include "base/log.h"
#include "comm/collective.h"
#include "data/hdf5_dataset.h"
#include "nn/graph.h"
#include "optim/schedule.h"
#include "train/digests.h"
#include "train/signals.h"
#include "train/slab_hash.h"

namespace lockstep::train {
namespace {

constexpr const char* finished = "finished";
constexpr const char* stopped_by_signal = "stopped by a signal";
constexpr const char* stopped_as_asked = "stopped as asked";

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void write_digest(const metrics::DigestRecord& record, const Sinks& sinks) {
  for (const auto& sink : sinks) sink->digest(record);
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

Trainer::Trainer(comm::World& world, const Blueprint& blueprint, const Resources& resources)
    : world_(world),
      blueprint_(blueprint),
      stripes_(blueprint.train_stripes()),
      shards_(comm::shards_of_rank(stripes_.shards(), world.size(), world.rank())),
      dataset_(read_training_set(world, blueprint, stripes_, shards_)),
      meter_(shards_, stripes_.shards()),
      replica_(make_replica(world, blueprint, resources, *dataset_)) {
  AlignedBuffer<float> weights;
  world.agree([&] {
    const config::Data& data = blueprint.experiment.data;
    arithmetic_.emplace(world, resources.backend, blueprint.network, stripes_,
                        blueprint.experiment.checks.arithmetic_every,
                        ImageSource{.dataset = replica_->has_images() ? dataset_.get() : nullptr,
                                    .scale = static_cast<float>(data.scale),
                                    .distorts = data.augment.has_value()});
    if (blueprint.experiment.training.average)
      average_.emplace(*blueprint.experiment.training.average, blueprint.experiment.checks.memory,
                       blueprint.network.parameters.slab_size(), stripes_.steps());
    plan_hashes_.assign(replica_->plan_hashes().begin(), replica_->plan_hashes().end());
    if (blueprint.validation) {
      evaluator_.emplace(blueprint, resources, shards_);
      for (const PlanHash& hash : evaluator_->hash_plans(blueprint.network.parameters))
        plan_hashes_.push_back(hash);
    }
    weights = AlignedBuffer<float>(static_cast<std::size_t>(blueprint.network.parameters.slab_size()));
  });
  nn::initialize_weights(blueprint.experiment, blueprint.network, weights.span());
  replica_->set_weights(weights.span());
}

void Trainer::run(const Sinks& sinks, metrics::RunSummary& summary, const Options& options) {
  options_ = options;
  run_started_ = Clock::now();
  const std::int64_t epochs = blueprint_.experiment.training.epochs;
  summary.epochs_done = position_.epoch - 1;
  summary.steps_done = global_step();
  summary.weights_digest = fmt::format("{:016x}", slab_hash(SlabKind::weights, 0, weights()));
  while (position_.epoch <= epochs) {
    const auto started = Clock::now();
    const std::int64_t epoch = position_.epoch;
    const EpochEnd end = train_epoch(sinks, summary);
    if (end.status.stop_requested) acknowledge_stop();
    summary.seconds = seconds();
    summary.weights_digest = fmt::format("{:016x}", end.status.weights_digest);
    metrics::DigestRecord digest{
        .step = summary.steps_done, .epoch = epoch, .weights = end.status.weights_digest, .at_epoch_end = {}};
    std::optional<metrics::EpochRecord> record;
    if (end.whole) record = finish_epoch(started);
    if (!record) {
      if (end.whole) acknowledge_stop();
      world_.agree([&] { write_digest(digest, sinks); });
      take_checkpoint(sinks, end.status);
      summary.status = end.whole || end.status.stop_requested ? stopped_by_signal : stopped_as_asked;
      summary.detail = fmt::format("in epoch {}, after step {} of it", epoch, position_.step);
      break;
    }
    world_.activity().enter(comm::Phase::recording);
    digest.at_epoch_end = epoch_digests(*record);
    world_.agree([&] {
      write_digest(digest, sinks);
      for (const auto& sink : sinks) sink->epoch(*record);
    });
    summary.epochs_done = epoch;
    summary.last = record;
    if (record->val_accuracy && (!summary.best || *record->val_accuracy > summary.best->val_accuracy))
      summary.best = record;
    summary.seconds = seconds();
    begin_epoch(epoch + 1);
    const StepStatus status = agree_on_step(own_status(position_));
    const bool is_last = epoch == epochs;
    const bool stop = !is_last && (end.stop || status.stop_requested);
    if (!is_last && status.stop_requested) acknowledge_stop();
    if (status.checkpoint_due || stop || is_last) take_checkpoint(sinks, status, record->val_accuracy);
    if (!stop) continue;
    summary.status =
        end.status.stop_requested || status.stop_requested ? stopped_by_signal : stopped_as_asked;
    summary.detail = fmt::format("after epoch {}", epoch);
    break;
  }
  if (summary.status.empty()) summary.status = finished;
  world_.activity().enter(comm::Phase::writing_checkpoint);
  world_.agree([&] {
    if (options_.checkpoints != nullptr) options_.checkpoints->finish(summary.status != finished);
    if (report_failure_) std::rethrow_exception(report_failure_);  // no step follows that would tell
  });
}

void Trainer::begin_epoch(std::int64_t epoch) {
  position_ = {.epoch = epoch, .step = 0};
  meter_.reset();
  order_hash_ = 0;
  shown_ = {};
  samples_before_ = 0;
}

Trainer::EpochEnd Trainer::train_epoch(const Sinks& sinks, metrics::RunSummary& summary) {
  epoch_started_ = Clock::now();
  if (position_.step < stripes_.steps()) replica_->start_batches(position_.epoch, position_.step);
  EpochEnd end;
  bool is_wanted = false;  // a pause behind the next step
  while (position_.step < stripes_.steps() && !end.stop) {
    pauses_ = is_wanted || must_pause() || !replica_->runs_ahead();
    end.status = train_step(sinks);
    ++position_.step;
    ++summary.steps_done;
    report_step(sinks);
    add_to_average();
    is_wanted = end.status.stop_requested || end.status.checkpoint_due;
    if (!pauses_) continue;  // the next step has begun: behind that one
    end.stop = end.status.stop_requested || (options_.until && global_step() >= *options_.until);
    if (end.status.checkpoint_due && !end.stop) take_checkpoint(sinks, agree_on_step(own_status()));
    is_wanted = false;
  }
  const bool signalled = end.status.stop_requested;
  end.status = agree_on_step(own_status());
  end.status.stop_requested |= signalled;
  end.stop |= end.status.stop_requested;
  // A signal has no patience for the validation: whoever goes on does that first.
  end.whole = position_.step == stripes_.steps() && !end.status.stop_requested;
  return end;
}

/// `next`: where the training will stand next, once for each place; whether a checkpoint is due there.
RankStatus Trainer::own_status(std::optional<Position> next) {
  world_.activity().enter(comm::Phase::checking_memory);
  RankStatus status;
  status.stop_requested = stop_was_requested();
  status.memory = replica_->look();
  status.diverged = replica_->diverged();
  report([&] {
    status.checkpoint_due = next && options_.checkpoints != nullptr && options_.checkpoints->due(*next);
  });
  status.failure = report_failure_;
  return status;
}

/// What all ranks know before the update of a step, or at the end of the epoch. Collective. Throws on all
/// ranks if any failed, or met a number that is not finite in its last update, or has other weights in memory
/// than were written and these cannot be repaired. Where they were (memory_damaged), what was computed from
/// the weights must be computed again.
StepStatus Trainer::agree_on_step(const RankStatus& own) {
  world_.activity().enter(comm::Phase::sharing_status);
  const StepStatus status = share_status(world_, own);
  if (status.memory_damaged) replica_->repair(global_step() + 1);
  if (status.diverged) fail_diverged(status);
  return status;
}

/// Forward and backward of the rank's shards, the one status reduction, then exchange and update. If weights
/// had to be repaired, once more from the start.
StepStatus Trainer::train_step(const Sinks& sinks) {
  const std::int64_t step = global_step();
  // The end of the epoch has a status of its own.
  const bool is_last = position_.step + 1 == stripes_.steps();
  const Position after{.epoch = position_.epoch, .step = position_.step + 1};
  const data::Batch* batch = nullptr;
  std::span<const device::Totals> totals;
  StepStatus status;
  world_.activity().begin_step(step + 1);
  fault::begin_step(step + 1);
  do {
    std::exception_ptr failure;
    device::Totals step_totals;
    try {
      if (batch == nullptr) batch = &replica_->next_batch();
      world_.activity().enter(comm::Phase::computing);
      totals = replica_->compute(step_of(*batch), arithmetic_->begin_step(step + 1));
      for (const device::Totals& shard : totals) step_totals += shard;
      replica_->flip_memory();
    } catch (const DeviceLost&) {
      throw;
    } catch (...) {
      failure = std::current_exception();
    }
    RankStatus own;  // a device that failed has no more to say
    if (!failure) own = own_status(is_last ? std::nullopt : std::optional(after));
    if (failure) own.failure = failure;
    own.totals = step_totals;
    status = agree_on_step(own);
  } while (status.memory_damaged);
  if (arithmetic_->due()) arithmetic_->finish_step(*batch, replica_->weights());
  if (!status.loss) fail_diverged(status);

  world_.activity().enter(comm::Phase::preparing_update);
  meter_.add(totals);
  order_hash_ += order_hash(*batch, stripes_.shards());
  last_loss_ = status.loss;
  shown_ += {.loss = *status.loss * static_cast<double>(status.samples),
             .correct = status.correct,
             .samples = status.samples};

  // At the end of an epoch the digest goes with the epoch's metrics.
  const bool in_an_epoch = position_.step > 0 || step == 0;
  if (in_an_epoch && digest_is_due(blueprint_.experiment.digests.every, step))
    report([&] {
      write_digest(
          {.step = step, .epoch = position_.epoch, .weights = status.weights_digest, .at_epoch_end = {}},
          sinks);
    });
  replica_->update();
  return status;
}

/// The step at hand. Only where the hosts need not pause behind it may the next one begin.
Step Trainer::step_of(const data::Batch& batch) const {
  const std::int64_t step = global_step();
  return {.batch = &batch,
          .number = step + 1,
          .learning_rate = learning_rate(step),
          .next_learning_rate = pauses_ ? std::nullopt : std::optional(learning_rate(step + 1))};
}

/// Whether something is to be done behind the step at hand with what it leaves, which a next step that had
/// begun would change. All ranks know.
bool Trainer::must_pause() const {
  const Position after{.epoch = position_.epoch, .step = position_.step + 1};
  const std::int64_t step = global_step() + 1;  // that many are done then
  const config::Experiment& experiment = blueprint_.experiment;
  const auto divides = [](std::int64_t every, std::int64_t value) { return every > 0 && value % every == 0; };
  return after.step == stripes_.steps() || (options_.until && step >= *options_.until) ||
         (average_ && average_->counts(after)) || divides(experiment.checkpoint.every_steps, step) ||
         divides(experiment.checks.arithmetic_every, step) ||
         divides(experiment.checks.arithmetic_every, step + 1);
}

/// The epoch's metrics over all ranks, with the validation set's; nothing if a signal came meanwhile.
/// Collective.
std::optional<metrics::EpochRecord> Trainer::finish_epoch(Clock::time_point started) {
  const double training_seconds = seconds_since(started);
  const device::Totals training = meter_.reduce(world_);
  const auto trained_here = static_cast<double>(training.samples - samples_before_);
  metrics::EpochRecord record{.epoch = position_.epoch,
                              .epochs = blueprint_.experiment.training.epochs,
                              .train_loss = mean_loss(training),
                              .train_accuracy = accuracy(training),
                              .val_loss = std::nullopt,
                              .val_accuracy = std::nullopt,
                              .learning_rate = learning_rate(global_step() - 1),
                              .samples_per_second = trained_here / training_seconds};
  if (validates()) {
    world_.activity().enter(comm::Phase::validating);
    std::optional<device::Totals> validation;
    do {
      validation = evaluator_->evaluate(world_, result(), stop_was_requested);
    } while (agree_on_step(own_status()).memory_damaged);
    if (average_) average_->check_memory(world_);
    if (!validation) return std::nullopt;
    record.val_loss = mean_loss(*validation);
    record.val_accuracy = accuracy(*validation);
    warn_of_validation(*record.val_loss);
  }
  record.seconds = seconds_since(started);
  return record;
}

void Trainer::warn_of_validation(double loss) {
  if (std::isfinite(loss) || !world_.is_root() || std::exchange(warned_of_validation_, true)) return;
  const data::DatasetInfo& info = *blueprint_.validation;
  const bool may_hold_nan = info.image_type == DType::f32 || info.image_type == DType::f64;
  log::warning(
      "the validation loss of epoch {} is not finite: lower the learning rate{}", position_.epoch,
      may_hold_nan
          ? fmt::format(", or look for values in {0} that are not numbers (lockstep inspect {0})", info.file)
          : "");
}

/// Once, so that nobody sends another signal because nothing seems to happen.
void Trainer::acknowledge_stop() {
  if (!world_.is_root() || std::exchange(has_acknowledged_, true)) return;
  log::warning(
      "a signal asks to stop: the training ends after step {}; a second Ctrl-C would end it before all "
      "is saved",
      global_step());
}

bool Trainer::validates() const {
  const config::Training& training = blueprint_.experiment.training;
  return evaluator_ && (position_.epoch % training.validate_every == 0 || position_.epoch == training.epochs);
}

/// If the weights after the last step count. They are looked at first, on all ranks. Collective.
void Trainer::add_to_average() {
  if (!average_ || !average_->counts(position_)) return;
  agree_on_step(own_status());
  average_->check_memory(world_);
  average_->add(weights());
}

std::span<const float> Trainer::result() {
  if (!average_ || average_->count() == 0) return weights();
  average_->check_memory(world_);
  return average_->mean();
}

/// What must be equal on any ranks, besides the weights. Collective.
metrics::EpochDigests Trainer::epoch_digests(const metrics::EpochRecord& record) {
  return {.optimizer = optimizer_digest(),
          .samples = wrapping_sum(world_, order_hash_),
          .metrics = metrics_hash(record)};
}

/// Of the whole training so far.
double Trainer::seconds() const {
  return seconds_before_ + seconds_since(run_started_);
}

void Trainer::report_step(const Sinks& sinks) {
  if (sinks.empty()) return;
  const std::int64_t epochs = blueprint_.experiment.training.epochs;
  const double rate = static_cast<double>(shown_.samples - samples_before_) / seconds_since(epoch_started_);
  const std::int64_t samples_left =
      (epochs - position_.epoch + 1) * blueprint_.train.samples - shown_.samples;
  const metrics::StepRecord record{.epoch = position_.epoch,
                                   .epochs = epochs,
                                   .step = position_.step,
                                   .steps = stripes_.steps(),
                                   .loss = mean_loss(shown_),
                                   .accuracy = accuracy(shown_),
                                   .samples_per_second = rate,
                                   .seconds_left = static_cast<double>(samples_left) / rate};
  for (const auto& sink : sinks) sink->step(record);
}

/// The ranks have just found out: the loss is that of the step in hand, a spoilt update the one before it.
void Trainer::fail_diverged(const StepStatus& status) {
  const std::int64_t step = global_step() - (status.diverged ? 1 : 0);
  const Divergence where{.epoch = step / stripes_.steps() + 1,
                         .step = step % stripes_.steps() + 1,
                         .steps = stripes_.steps(),
                         .last_good_loss = last_loss_};
  throw_divergence(world_, blueprint_.network.parameters, where, replica_->not_finite());
}

double Trainer::learning_rate(std::int64_t global_step) const {
  const config::Experiment& experiment = blueprint_.experiment;
  return optim::learning_rate(experiment.schedule, optim::base_learning_rate(experiment.optimizer),
                              global_step, stripes_.steps(), experiment.training.epochs);
}

}  // namespace lockstep::train
