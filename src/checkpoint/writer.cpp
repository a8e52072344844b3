#include "checkpoint/writer.h"

#include <utility>

#include "base/log.h"

namespace lockstep::checkpoint {

Writer::Writer(Write write) : write_(std::move(write)), thread_([this] { run(); }) {}

Writer::~Writer() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  try {
    poll();
  } catch (const std::exception& error) {
    log::error("{}", error.what());
  }
}

void Writer::submit(Snapshot&& snapshot) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !pending_; });
  rethrow(lock);
  pending_.emplace(std::move(snapshot));
  lock.unlock();
  changed_.notify_all();
}

bool Writer::idle() const {
  const std::scoped_lock lock(mutex_);
  return !pending_;
}

bool Writer::wait_for(std::chrono::milliseconds patience) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return !pending_; });
}

void Writer::poll() {
  std::unique_lock lock(mutex_);
  rethrow(lock);
}

void Writer::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !pending_; });
  rethrow(lock);
}

std::optional<Snapshot> Writer::recycle() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(written_, std::nullopt);
}

void Writer::rethrow(std::unique_lock<std::mutex>& lock) {
  if (!error_) return;
  const std::exception_ptr error = std::exchange(error_, nullptr);
  lock.unlock();
  std::rethrow_exception(error);
}

void Writer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return pending_ || stopping_; });
    if (!pending_) return;
    // Nobody touches what is pending while it is: no lock is needed to read it.
    const Snapshot& snapshot = *pending_;
    std::exception_ptr error;
    lock.unlock();
    try {
      write_(snapshot);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    error_ = std::move(error);  // what was kept before was thrown by submit()
    written_ = std::exchange(pending_, std::nullopt);
    changed_.notify_all();
  }
}

}  // namespace lockstep::checkpoint
