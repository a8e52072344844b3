#include "train/device_replica.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "comm/collective.h"

namespace lockstep::train {

/// What is queued still uses the memory. After a failure, other ranks may not be there any more.
DeviceReplica::~DeviceReplica() {
  try {
    if (std::uncaught_exceptions() > exceptions_) collective_->give_up(*stream_);
    for (std::optional<DeviceEngine>* engine : {&whole_engine_, &shard_engine_})
      if (*engine) (*engine)->synchronize();
    side_->synchronize();
    buckets_->synchronize();
    stream_->synchronize();
  } catch (const std::exception&) {
    return;  // it has failed, and so does nothing any more
  }
}

device::DeviceSpan<float> DeviceReplica::own_weights() const {
  return weights_.span().subspan(owned_.begin, owned_.size());
}

std::vector<device::DeviceSpan<float>> DeviceReplica::device_states() const {
  std::vector<device::DeviceSpan<float>> spans;
  for (const State& state : states_) spans.push_back(state.device.span());
  return spans;
}

// ---- Weights and state between host and device.

void DeviceReplica::wait() {
  collective_->wait(*stream_);
}

/// Whether what the other ranks wait for is done.
bool DeviceReplica::finish_update() noexcept {
  try {
    if (update_pending_) collective_->wait(milestone_of(last_update_));
    return true;
  } catch (const std::exception&) {
    return false;  // of what is being reported
  }
}

/// Waits for the last update, and takes over what it left.
void DeviceReplica::settle() {
  if (!update_pending_) return;
  check(!next_, "nobody asks what a step left when the next one has begun");
  hashes_->queue_written(*stream_, weights_.span(), device_states());
  report_.queue_copy(*stream_);
  wait();
  settled();
}

/// A report is here that was queued behind the last update.
void DeviceReplica::settled() {
  if (!std::exchange(update_pending_, false)) return;
  if (report_.on_host(halted_).front() != 0)
    fail(
        ExitCode::internal,
        "rank {} on {}: the device did not apply a step in which the host saw nothing wrong: bits changed on "
        "their way between the two: suspect the memory of either",
        world_.rank(), world_.hosts()[static_cast<std::size_t>(world_.rank())]);
  memory_->record(hashes_->written());
}

std::span<const float> DeviceReplica::weights() {
  settle();
  if (host_is_current_) return host_weights_.span();
  device::copy_out<float>(*stream_, host_weights_.span(), weights_.span());
  if (looks_at_memory()) {
    hashes_->queue_now(*stream_, weights_.span(), device_states());
    report_.queue_copy(*stream_);
  }
  wait();
  if (looks_at_memory()) check_copy();
  host_is_current_ = true;
  return host_weights_.span();
}

void DeviceReplica::set_weights(std::span<const float> weights) {
  settle();
  check(std::ssize(weights) == slab_size_, "weights come as a whole slab");
  if (weights.data() != host_weights_.span().data()) std::ranges::copy(weights, host_weights_.span().begin());
  host_is_current_ = true;
  device::copy_in<float>(*stream_, weights_.span(), host_weights_.span());
  record();
}

std::vector<optim::Optimizer::State> DeviceReplica::state() {
  settle();
  std::vector<optim::Optimizer::State> views;
  for (const State& state : states_) {
    device::copy_out<float>(*stream_, state.host.span(), state.device.span());
    views.push_back({state.name, state.host.span()});
  }
  wait();
  return views;
}

void DeviceReplica::state_changed() {
  settle();
  for (const State& state : states_) device::copy_in<float>(*stream_, state.device.span(), state.host.span());
  record();
}

/// Weights and state are what they are to be.
void DeviceReplica::record() {
  hashes_->queue_written(*stream_, weights_.span(), device_states());
  report_.queue_copy(*stream_);
  wait();
  memory_->record(hashes_->written());
  hashes_are_current_ = false;
}

/// Brings weights and state to the host as they are now, whatever was recorded.
void DeviceReplica::fetch() {
  host_is_current_ = false;
  static_cast<void>(weights());
  static_cast<void>(state());
}

// ---- A step.

bool DeviceReplica::runs_ahead() const {
  return collective_->only_queues() && blueprint_.experiment.faults.empty();
}

std::span<const device::Totals> DeviceReplica::compute(const Step& step, ShardWatch* watch) try {
  fault::stall(fault::Place::compute);
  if (next_) {
    check(next_->number == step.number && watch == nullptr, "a step that was begun comes next");
    now_ = *std::exchange(next_, std::nullopt);
  } else {
    now_ = begin(step, watch);
  }
  go_ahead(step);
  const DeviceSamples::Staged& staged = *now_.staged;
  collective_->wait(*rooms_[staged.slot].reported);
  report_.read(staged.slot);
  settled();
  hashes_are_current_ = true;
  take_totals(staged.counts);
  return totals_;
} catch (const std::exception& failure) {
  // The others still wait for this rank's part of the last update.
  if (finish_update()) throw;
  const auto* error = dynamic_cast<const Error*>(&failure);
  throw DeviceLost(error != nullptr ? error->code() : ExitCode::internal, failure.what());
}

/// Queues a step up to its report, and, unless the hosts are to decide about it, the update.
DeviceReplica::Queued DeviceReplica::begin(const Step& step, ShardWatch* watch) {
  const Pieces usual = pieces_of(blueprint_.experiment);
  const bool may_fail = !blueprint_.experiment.faults.empty();  // on any rank: what is sent must be alike
  const Pieces pieces = may_fail ? Pieces::shards : usual;
  const bool is_inspected = may_fail || (watch != nullptr && pieces == Pieces::shards);
  if (pieces == Pieces::shards && partials_.empty()) make_sums();
  if (pieces == Pieces::shards && !shard_engine_) make_shard_engine(blueprint_.train_stripes(), 1);
  const std::size_t room = room_of(step.number);
  await_slot_of(step.number);
  if (watch != nullptr && !is_inspected && shards_.contains(watch->shard)) compute_alone(step, *watch);
  const DeviceSamples::Staged& staged = samples_->stage(*step.batch, pieces, room);
  samples_->await_images(*stream_);
  write_arguments(step, rooms_[room].arguments.span()[0]);
  const bool follows_update = update_pending_ || now_.with_update;
  if (is_inspected) {
    queue_pieces(staged, pieces, follows_update);
    wait();
    inspect_gradients(watch);
    queue_sums(staged, pieces);
  } else {
    const std::size_t variant = 2 * room + (follows_update ? 1 : 0);
    computations_[staged.counts].queue(*stream_, variant, [&] {
      queue_pieces(staged, pieces, follows_update);
      queue_sums(staged, pieces);
    });
  }
  rooms_[room].reported->set();
  const Queued queued{.number = step.number,
                      .samples = step.batch->global_samples,
                      .staged = &staged,
                      .pieces = pieces,
                      .with_update = runs_ahead() && watch == nullptr};
  if (queued.with_update) queue_update(queued, Who::devices);
  return queued;
}

/// Begins the next step, if it may begin, once its batch is there; else brings the images to the device, if
/// they are there.
void DeviceReplica::go_ahead(const Step& step) {
  const std::optional<double> rate = step.next_learning_rate;
  if (rate) world_.activity().enter(comm::Phase::loading);
  const data::Batch* batch = rate ? loader_->await_ahead() : loader_->ahead();
  world_.activity().enter(comm::Phase::computing);
  if (batch == nullptr) return;
  const std::int64_t number = step.number + 1;
  if (rate && now_.with_update) {
    next_ =
        begin({.batch = batch, .number = number, .learning_rate = *rate, .next_learning_rate = {}}, nullptr);
  } else if (!has_images()) {
    await_slot_of(number);
    samples_->stage_ahead(*batch, pieces_of(blueprint_.experiment), room_of(number));
  }
}

/// Where buckets are sent, the backward pass of the step before the last may still read its samples though
/// its report is here.
void DeviceReplica::await_slot_of(std::int64_t step) {
  if (sends_buckets(pieces_of(blueprint_.experiment))) collective_->wait(milestone_of(step - 2));
}

/// Forward and backward; beside them, hashes of what an update left, which nothing here changes. If what it
/// left is known already, or it was no update, what is there now need not be that any more.
void DeviceReplica::queue_pieces(const DeviceSamples::Staged& staged, Pieces pieces, bool follows_update) {
  const std::vector<std::int64_t>& counts = staged.counts;
  samples_->queue_copies(*stream_);
  device::copy_in<device::UpdateArguments>(*stream_, arguments_.span(), rooms_[staged.slot].arguments.span());
  side_->wait_for(*stream_);
  if (follows_update) hashes_->queue_written(*side_, weights_.span(), device_states());
  if (sends_buckets(pieces))
    return whole_engine_->queue_forward(*stream_, *samples_, counts.front(), weights_.span(),
                                        report_.on_device(reported_totals_).subspan(0, 1));
  std::vector<device::DeviceSpan<float>> gradients;
  for (std::size_t piece = 0; piece < counts.size(); ++piece) gradients.push_back(gradients_[piece].span());
  std::optional<DeviceEngine>& engine = pieces == Pieces::whole ? whole_engine_ : shard_engine_;
  engine->queue(*stream_, *samples_, counts, weights_.span(),
                {.gradients = gradients, .totals = report_.on_device(reported_totals_)});
}

/// Sums, beside hashes of what the update will change; then all that the host is to know.
void DeviceReplica::queue_sums(const DeviceSamples::Staged& staged, Pieces pieces) {
  if (looks_at_memory()) {
    side_->wait_for(*stream_);
    hashes_->queue_now(*side_, weights_.span(), device_states());
  }
  if (pieces == Pieces::shards)
    for (const Sum& sum : sums_) accelerator_.sum(*stream_, sum.terms, sum.additions, sum.into);
  stream_->wait_for(*side_);
  report_.queue_copy(*stream_, staged.slot);
}

/// As totals of shards: of a piece that was more than one, the first shard has all.
void DeviceReplica::take_totals(const std::vector<std::int64_t>& counts) {
  const std::span<const device::Totals> reported = report_.on_host(reported_totals_).first(counts.size());
  std::ranges::fill(totals_, device::Totals{});
  std::ranges::copy(reported, totals_.begin());
}

void DeviceReplica::write_arguments(const Step& step, device::UpdateArguments& arguments) const {
  arguments = {.sgd = {}, .adamw = {}, .samples = static_cast<float>(step.batch->global_samples)};
  const config::Optimizer& optimizer = blueprint_.experiment.optimizer;
  if (const auto* sgd = std::get_if<config::Sgd>(&optimizer))
    arguments.sgd = optim::sgd_arguments(*sgd, step.learning_rate);
  else
    arguments.adamw =
        optim::adamw_arguments(std::get<config::AdamW>(optimizer), step.number, step.learning_rate);
}

void DeviceReplica::update() {
  fault::stall(fault::Place::exchange);
  world_.activity().enter(comm::Phase::exchanging);
  if (!std::exchange(now_.with_update, false)) queue_update(now_, Who::hosts);
  last_update_ = now_.number;
  update_pending_ = true;
  host_is_current_ = hashes_are_current_ = false;
  world_.activity().enter(comm::Phase::reporting);
}

device::Milestone& DeviceReplica::milestone_of(std::int64_t step) const {
  return *updated_[static_cast<std::size_t>(step + std::ssize(updated_)) % updated_.size()];
}

void DeviceReplica::queue_update(const Queued& step, Who decides) {
  const auto work = [&] { queue_update_once(step, decides); };
  // The samples matter to a backward pass only. Their number over all ranks says what each rank has of them.
  if (!collective_->only_queues())
    work();
  else if (sends_buckets(step.pieces))
    updates_[{decides, step.samples}].queue(*stream_, room_of(step.number), work);
  else
    updates_[{decides, 0}].queue(*stream_, 0, work);
  milestone_of(step.number).set();
}

void DeviceReplica::queue_update_once(const Queued& step, Who decides) {
  queue_mean(queue_exchange(step, decides));
  queue_optimizer();
  if (ownership_ == Ownership::slices) queue_gathering(decides);
}

/// Up to the sums of all ranks, and whether they may be used. Of slices, returns what is to be added.
std::span<const comm::DeviceSlicePartial> DeviceReplica::queue_exchange(const Queued& step, Who decides) {
  const bool devices_decide = decides == Who::devices;
  if (sends_buckets(step.pieces)) {
    if (devices_decide) {  // beside the backward pass: forward has shown what there is to find
      buckets_->wait_for(*stream_);
      queue_findings(*buckets_);
      collective_->share(*buckets_, findings_.span());
      queue_decision(*buckets_);
    }
    queue_backward(step.staged->counts.front());
    return {};
  }
  std::span<const comm::DeviceSlicePartial> slices;
  if (devices_decide) queue_findings(*stream_);
  if (ownership_ == Ownership::everything) {
    for (std::size_t bucket = 0; bucket < bucket_ends_.size(); ++bucket) queue_bucket(*stream_, bucket);
    if (devices_decide) collective_->share(*stream_, findings_.span());
  } else if (!whole_sum_) {
    slices = collective_->exchange(
        *stream_, partials_, devices_decide ? findings_.span() : device::DeviceSpan<device::StepFindings>());
  }
  if (devices_decide) queue_decision(*stream_);
  return slices;
}

bool DeviceReplica::sends_buckets(Pieces pieces) const {
  return pieces == Pieces::whole && world_.size() > 1 && collective_->only_queues();
}

/// All ranks send the same buckets in the same order, whatever they have of a step.
void DeviceReplica::queue_backward(std::int64_t count) {
  std::size_t bucket = 0;
  whole_engine_->queue_backward(*stream_, *samples_, count, weights_.span(), gradients_.front().span(),
                                [&](std::int64_t finished) {
                                  if (bucket == bucket_ends_.size() || bucket_ends_[bucket] > finished)
                                    return;
                                  buckets_->wait_for(*stream_);
                                  while (bucket < bucket_ends_.size() && bucket_ends_[bucket] <= finished)
                                    queue_bucket(*buckets_, bucket++);
                                });
  stream_->wait_for(*buckets_);
}

void DeviceReplica::queue_bucket(device::Stream& stream, std::size_t bucket) {
  const std::int64_t begin = bucket == 0 ? 0 : bucket_ends_[bucket - 1];
  collective_->all_reduce(stream, gradients_.front().span().subspan(begin, bucket_ends_[bucket] - begin));
}

/// A graph cannot leave out what goes to other ranks. So where the devices decide, it ends in memory of its
/// own: else an owner whose weights have changed in its memory would hand them on to those who have them
/// whole.
void DeviceReplica::queue_gathering(Who decides) {
  if (decides == Who::hosts || world_.size() == 1) return collective_->all_gather(*stream_, weights_.span());
  device::copy<float>(*stream_, gathered_.span().subspan(owned_.begin, owned_.size()), own_weights());
  collective_->all_gather(*stream_, gathered_.span());
  accelerator_.take_weights(*stream_, arguments_.span(), gathered_.span(), weights_.span());
}

/// What this rank has to say about the step.
void DeviceReplica::queue_findings(device::Stream& stream) {
  device::StepEvidence evidence;
  evidence.totals = report_.on_device(reported_totals_);
  evidence.not_finite = report_.on_device(flags_);
  if (looks_at_memory()) hashes_->present(evidence);
  accelerator_.find(stream, evidence, findings_.span().subspan(world_.rank(), 1));
}

/// Whether the update takes place, when all ranks' findings are here.
void DeviceReplica::queue_decision(device::Stream& stream) {
  const bool owns_all = ownership_ == Ownership::everything;
  accelerator_.decide(stream, findings_.span(),
                      owns_all ? device::WeightsOwner::each_rank : device::WeightsOwner::rank_of_slice,
                      report_.on_device(halted_), arguments_.span());
}

/// Of all ranks' gradients, in the own part.
void DeviceReplica::queue_mean(std::span<const comm::DeviceSlicePartial> partials) {
  if (whole_sum_)
    return accelerator_.mean(*stream_, whole_sum_->terms, whole_sum_->additions, arguments_.span(),
                             whole_sum_->into);
  std::vector<comm::Subtree> trees;
  std::vector<device::DeviceSpan<const float>> slices;
  for (const comm::DeviceSlicePartial& partial : partials) {
    trees.push_back(partial.tree);
    slices.push_back(partial.slice);
  }
  accelerator_.mean(*stream_, slices, comm::tree_additions(trees, blueprint_.experiment.training.shards),
                    arguments_.span(), mean_.span());
}

void DeviceReplica::queue_optimizer() {
  const device::DeviceSpan<const device::UpdateArguments> arguments = arguments_.span();
  if (std::holds_alternative<config::Sgd>(blueprint_.experiment.optimizer)) {
    const bool momentum = !states_.empty();
    accelerator_.sgd_update(*stream_, arguments, own_weights(), mean_.span(),
                            momentum ? states_[0].device.span() : device::DeviceSpan<float>(), momentum,
                            report_.on_device(flags_));
  } else {
    accelerator_.adamw_update(*stream_, arguments, own_weights(), mean_.span(), states_[0].device.span(),
                              states_[1].device.span(), report_.on_device(flags_));
  }
}

}  // namespace lockstep::train
