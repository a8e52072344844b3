#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/fault.h"
#include "data/distorter.h"

namespace lockstep::data {
namespace {

constexpr std::size_t rows_ahead = 2;
constexpr std::size_t floats_per_line = 16;  // each shard's images begin on a cache line

std::size_t round_up(std::size_t floats) {
  return (floats + floats_per_line - 1) / floats_per_line * floats_per_line;
}

/// Where the loader's thread writes what a ShardBatch shows to the user.
struct ShardMemory {
  float* images = nullptr;
  std::int32_t* labels = nullptr;
  std::int64_t* rows = nullptr;
  AffineMap* maps = nullptr;
};

/// Memory for one step of a rank.
struct Slot {
  Batch batch;
  std::vector<ShardMemory> memory;  ///< of batch.shards
  AlignedBuffer<float> images;
  AlignedBuffer<std::int32_t> labels;
  AlignedBuffer<std::int64_t> rows;
  AlignedBuffer<AffineMap> maps;

  [[nodiscard]] std::size_t bytes() const {
    return images.span().size_bytes() + labels.span().size_bytes() + rows.span().size_bytes() +
           maps.span().size_bytes();
  }
};

}  // namespace

/// The slots form a ring: the thread fills slot `filled_ % slots`, the user reads slot `taken_ % slots`; a
/// filled slot belongs to the user until it takes the next. Everything below `mutex_` is guarded by it; a
/// slot's contents belong to whoever the counters say.
class Loader::Impl {
 public:
  Impl(const Dataset& dataset, Sampler sampler, float scale, Range shards, int slots, Faults faults,
       Images images, std::optional<Augmentation> augmentation)
      : dataset_(dataset),
        sampler_(sampler),
        scale_(scale),
        shards_(shards),
        faults_(faults),
        images_(images),
        augmentation_(augmentation),
        image_size_(static_cast<std::size_t>(dataset.info().image.count())) {
    check(slots >= 1, "a loader has slots");
    check(sampler.stripes().samples() == dataset.info().samples, "the sampler is that of the data set");
    if (augmentation_ && images_ == Images::gathered) distorter_.emplace(dataset.info().image);
    slots_.resize(static_cast<std::size_t>(slots));
    for (Slot& slot : slots_) prepare(slot);
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
    return slot(taken_ - 1).batch;
  }

  const Batch* ahead() {
    const std::lock_guard lock(mutex_);
    return filled_ > taken_ ? &slot(taken_).batch : nullptr;
  }

  const Batch* await_ahead() {
    std::unique_lock lock(mutex_);
    if (first_step_ + taken_ >= steps()) return nullptr;
    ready_.wait(lock, [this] { return filled_ > taken_ || error_ != nullptr; });
    if (filled_ == taken_) std::rethrow_exception(error_);
    return &slot(taken_).batch;
  }

  [[nodiscard]] std::int64_t bytes() const {
    std::size_t total = 0;
    for (const Slot& slot : slots_) total += slot.bytes();
    return static_cast<std::int64_t>(total) + (distorter_ ? distorter_->bytes() : 0);
  }

 private:
  [[nodiscard]] std::int64_t steps() const { return sampler_.stripes().steps(); }
  Slot& slot(std::int64_t number) { return slots_[static_cast<std::size_t>(number) % slots_.size()]; }

  /// The most samples that a shard has in any step: the last is cut differently and may have more.
  [[nodiscard]] std::int64_t capacity(std::int64_t shard) const {
    return std::max(sampler_.count(0, shard), sampler_.count(steps() - 1, shard));
  }

  void prepare(Slot& slot) const {
    std::size_t samples = 0;
    std::size_t floats = 0;
    for (std::int64_t shard = shards_.begin; shard < shards_.end; ++shard) {
      const auto most = static_cast<std::size_t>(capacity(shard));
      samples += most;
      floats += round_up(most * image_size_);
    }
    if (images_ == Images::gathered) slot.images = AlignedBuffer<float>(floats);
    slot.labels = AlignedBuffer<std::int32_t>(samples);
    slot.rows = AlignedBuffer<std::int64_t>(samples);
    const bool leaves_maps = augmentation_ && images_ == Images::left;
    if (leaves_maps) slot.maps = AlignedBuffer<AffineMap>(samples);
    float* images = slot.images.data();
    std::size_t first = 0;
    for (std::int64_t shard = shards_.begin; shard < shards_.end; ++shard) {
      const auto most = static_cast<std::size_t>(capacity(shard));
      const ShardMemory& memory =
          slot.memory.emplace_back(ShardMemory{images, slot.labels.data() + first, slot.rows.data() + first,
                                               leaves_maps ? slot.maps.data() + first : nullptr});
      slot.batch.shards.push_back({shard, 0, memory.images, memory.labels, memory.rows, memory.maps});
      if (images != nullptr) images += round_up(most * image_size_);
      first += most;
    }
  }

  void fill(Slot& slot, std::int64_t epoch, std::int64_t step) {
    if (faults_ == Faults::as_armed) fault::stall(fault::Place::loader, (epoch - 1) * steps() + step + 1);
    slot.batch.epoch = epoch;
    slot.batch.step = step;
    slot.batch.global_samples = sampler_.stripes().step_samples(step);
    for (std::size_t index = 0; index < slot.memory.size(); ++index) {
      ShardBatch& shard = slot.batch.shards[index];
      shard.count = sampler_.count(step, shard.shard);
      auto [images, labels, first_row, maps] = slot.memory[index];
      const std::span rows(first_row, static_cast<std::size_t>(shard.count));
      sampler_.rows(epoch, step, shard.shard, rows);
      if (images_ == Images::left) {
        for (const std::int64_t row : rows) *labels++ = dataset_.label(row);
        if (maps != nullptr)
          for (const std::int64_t row : rows) *maps++ = augmentation_->map(epoch, row);
        continue;
      }
      for (std::size_t i = 0; i < rows.size(); ++i) {
        // Shuffled rows lie anywhere in memory: fetch ahead, or the thread waits for each of them.
        if (i + rows_ahead < rows.size()) dataset_.prefetch(rows[i + rows_ahead]);
        if (distorter_)
          distorter_->gather(dataset_, rows[i], scale_, augmentation_->map(epoch, rows[i]),
                             {images, image_size_});
        else
          dataset_.gather(rows[i], scale_, {images, image_size_});
        *labels++ = dataset_.label(rows[i]);
        images += image_size_;
      }
    }
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

  const Dataset& dataset_;
  const Sampler sampler_;
  const float scale_;
  const Range shards_;
  const Faults faults_;
  const Images images_;
  const std::optional<Augmentation> augmentation_;
  const std::size_t image_size_;
  std::optional<Distorter> distorter_;  // the thread's
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
