#include "train/checkpoints.h"

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "io/atomic_file.h"
#include "train/state_transfer.h"

namespace lockstep::train {
namespace {

using checkpoint::Snapshot;

/// Runs on the writer's thread.
checkpoint::Writer::Write writing(const config::Checkpoint& settings, const Parameters& parameters,
                                  const checkpoint::Store& store, std::vector<std::string> tables) {
  return [=, &parameters, tables = std::move(tables)](const Snapshot& snapshot) {
    check_digests(snapshot, "the copy in memory");
    for (const std::string& table : tables) io::sync(table);
    store.save(parameters, snapshot);
    store.prune(settings.keep, settings.keep_best);
  };
}

bool is_multiple(std::int64_t value, std::int64_t of) {
  return of > 0 && value % of == 0;
}

}  // namespace

Checkpoints::Checkpoints(const config::Checkpoint& settings, const Parameters& parameters,
                         checkpoint::Store store, std::vector<std::string> tables, Facts facts)
    : settings_(settings),
      facts_(std::move(facts)),
      store_(std::move(store)),
      writer_(writing(settings, parameters, store_, std::move(tables))) {
  store_.prepare();
}

bool Checkpoints::due(const Position& position) {
  report_failure_of([&] { writer_.poll(); });
  const std::chrono::duration<double, std::ratio<60>> minutes = Clock::now() - last_;
  due_ |= is_multiple(position.global_step(facts_.steps_per_epoch), settings_.every_steps) ||
          (position.step == 0 && is_multiple(position.epoch - 1, settings_.every_epochs)) ||
          (settings_.every_minutes > 0 && minutes.count() >= settings_.every_minutes);
  return due_ && writer_.idle();
}

Snapshot Checkpoints::buffers() {
  Snapshot snapshot = writer_.recycle().value_or(Snapshot{});
  snapshot.experiment = facts_.experiment;
  snapshot.data = facts_.data;
  snapshot.arithmetic = facts_.arithmetic;
  return snapshot;
}

void Checkpoints::submit(Snapshot&& snapshot) {
  report_failure_of([&] { wait(); });
  writer_.submit(std::move(snapshot));
  due_ = false;
  last_ = Clock::now();
}

void Checkpoints::finish(bool is_needed) {
  if (is_needed)
    wait();
  else
    report_failure_of([&] { wait(); });
}

/// For the writer, telling whoever watches this thread that it does.
void Checkpoints::wait() {
  const Clock::time_point since = Clock::now();
  while (!writer_.wait_for(std::chrono::milliseconds(200)))
    if (on_wait_) on_wait_(Clock::now() - since);
  writer_.poll();
}

template <class Work>
void Checkpoints::report_failure_of(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    if (settings_.on_failure == config::OnWriteFailure::stop) throw;
    log::warning(
        "no checkpoint could be written: {}. The training goes on; earlier checkpoints are as they were",
        error.what());
  }
}

}  // namespace lockstep::train
