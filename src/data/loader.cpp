#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/fault.h"

namespace lockstep::data {

/// The slots form a ring: the thread fills slot `filled_ % slots`, the user reads slot `taken_ % slots`; a
/// filled slot belongs to the user until it takes the next. Everything below `mutex_` is guarded by it; a
/// slot's contents belong to whoever the counters say.
class Loader::Impl {
 public:
  Impl(const Dataset& dataset, Sampler sampler, float scale, Range shards, int slots, Faults faults,
       Images images, std::optional<Augmentation> augmentation)
      : maker_(dataset, sampler, scale, shards, images, augmentation, /*threads=*/1), faults_(faults) {
    check(slots >= 1, "a loader has slots");
    for (int i = 0; i < slots; ++i) slots_.push_back(maker_.make_slot());
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      leaving_ = true;
    }
    work_.notify_one();
    thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void start(std::int64_t epoch, std::int64_t first_step) {
    check(0 <= first_step && first_step < steps(), "an epoch starts at one of its steps");
    {
      const std::lock_guard lock(mutex_);
      ++generation_;
      epoch_ = epoch;
      first_step_ = first_step;
      filled_ = 0;
      taken_ = 0;
      error_ = nullptr;
    }
    work_.notify_one();
  }

  const Batch& next() {
    std::unique_lock lock(mutex_);
    check(generation_ > 0, "start() comes before next()");
    check(error_ != nullptr || first_step_ + taken_ < steps(), "an epoch has no more steps: call start()");
    ++taken_;  // and with it gives the last batch back
    work_.notify_one();
    ready_.wait(lock, [this] { return filled_ >= taken_ || error_ != nullptr; });
    if (filled_ < taken_) {
      --taken_;
      std::rethrow_exception(error_);
    }
    return slot(taken_ - 1).batch();
  }

  const Batch* ahead() {
    const std::lock_guard lock(mutex_);
    return filled_ > taken_ ? &slot(taken_).batch() : nullptr;
  }

  const Batch* await_ahead() {
    std::unique_lock lock(mutex_);
    if (first_step_ + taken_ >= steps()) return nullptr;
    ready_.wait(lock, [this] { return filled_ > taken_ || error_ != nullptr; });
    if (filled_ == taken_) std::rethrow_exception(error_);
    return &slot(taken_).batch();
  }

  [[nodiscard]] std::int64_t bytes() const {
    std::int64_t total = maker_.bytes();
    for (const Slot& slot : slots_) total += slot.bytes();
    return total;
  }

 private:
  [[nodiscard]] std::int64_t steps() const { return maker_.stripes().steps(); }
  Slot& slot(std::int64_t number) { return slots_[static_cast<std::size_t>(number) % slots_.size()]; }

  void fill(Slot& slot, std::int64_t epoch, std::int64_t step) {
    if (faults_ == Faults::as_armed) fault::stall(fault::Place::loader, (epoch - 1) * steps() + step + 1);
    maker_.begin(slot, epoch, step);
    for (std::int64_t shard = 0; shard < maker_.shards(); ++shard) maker_.fill(slot, shard, 0);
  }

  [[nodiscard]] bool has_work() const {
    // The slot that the user reads counts as taken but is not free: hence one less than all may be ahead.
    const auto room = static_cast<std::int64_t>(slots_.size());
    const std::int64_t in_use = filled_ - std::max<std::int64_t>(taken_ - 1, 0);
    return generation_ > 0 && error_ == nullptr && first_step_ + filled_ < steps() && in_use < room;
  }

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return leaving_ || has_work(); });
      if (leaving_) return;
      const std::uint64_t generation = generation_;
      const std::int64_t epoch = epoch_;
      const std::int64_t step = first_step_ + filled_;
      Slot& free_slot = slot(filled_);
      lock.unlock();
      std::exception_ptr error;
      try {
        fill(free_slot, epoch, step);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (generation != generation_) continue;  // start() was called meanwhile: nobody wants this one
      if (error)
        error_ = error;
      else
        ++filled_;
      ready_.notify_one();
    }
  }

  BatchMaker maker_;
  const Faults faults_;
  std::vector<Slot> slots_;

  std::mutex mutex_;
  std::condition_variable work_;   // for the thread: a free slot, another epoch, the end
  std::condition_variable ready_;  // for the user: a filled slot or an error
  std::uint64_t generation_ = 0;   // calls of start()
  std::int64_t epoch_ = 0;
  std::int64_t first_step_ = 0;
  std::int64_t filled_ = 0;  // slots filled since start()
  std::int64_t taken_ = 0;   // batches that the user asked for since start()
  std::exception_ptr error_;
  bool leaving_ = false;

  std::thread thread_;  // last: it uses all of the above
};

Loader::Loader(const Dataset& dataset, Sampler sampler, float scale, Range shards, int slots, Faults faults,
               Images images, std::optional<Augmentation> augmentation)
    : impl_(std::make_unique<Impl>(dataset, sampler, scale, shards, slots, faults, images, augmentation)) {}

Loader::~Loader() = default;

void Loader::start(std::int64_t epoch, std::int64_t first_step) {
  impl_->start(epoch, first_step);
}

const Batch& Loader::next() {
  return impl_->next();
}

const Batch* Loader::ahead() {
  return impl_->ahead();
}

const Batch* Loader::await_ahead() {
  return impl_->await_ahead();
}

std::int64_t Loader::bytes() const {
  return impl_->bytes();
}

}  // namespace lockstep::data
