#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace lockstep::comm {

/// What a rank's main thread does, in the order of a step and of what follows the steps.
enum class Phase : std::uint8_t {
  set_up,
  loading,
  computing,
  computing_together,
  checking_memory,
  sharing_status,
  preparing_update,
  exchanging,
  updating,
  gathering,
  packing,
  reporting,
  validating,
  recording,
  writing_checkpoint,
  writing_results,
};
constexpr std::size_t phases = static_cast<std::size_t>(Phase::writing_results) + 1;
/// As a message says it: "exchanging gradients".
std::string_view name_of(Phase phase);

/// What a rank is at, for whoever watches it (watchdog.h). Written by the main thread, read by any; a change
/// costs some nanoseconds and allocates nothing.
class Activity {
 public:
  struct View {
    Phase phase = Phase::set_up;
    bool waiting = false;   ///< for other ranks: in a collective operation
    std::int64_t step = 0;  ///< from 1 over the whole training; 0: before the first
    friend bool operator==(const View&, const View&) = default;
  };

  /// Is told of each change on the main thread.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void changed(const View& before, const View& now) = 0;
  };

  void begin_step(std::int64_t step) { change({Phase::loading, now_.waiting, step}); }
  void enter(Phase phase) { change({phase, now_.waiting, now_.step}); }
  /// Main thread.
  [[nodiscard]] Phase phase() const { return now_.phase; }
  /// From now on, until another or null takes its place. Returns the one before. Main thread.
  Observer* observe(Observer* observer) { return std::exchange(observer_, observer); }
  /// Something that takes long has come a piece further.
  void progress() { changes_.store(changes_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

  /// Within its life the rank waits for others.
  class Waiting {
   public:
    explicit Waiting(Activity& activity) : activity_(activity) { activity_.wait(true); }
    ~Waiting() { activity_.wait(false); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Activity& activity_;
  };

  /// The view as one word, for any thread, and for a message.
  [[nodiscard]] std::uint64_t packed() const { return shown_.load(std::memory_order_relaxed); }
  static View unpack(std::uint64_t packed) {
    return {.phase = static_cast<Phase>(packed >> 1U & 0x7FU),
            .waiting = (packed & 1U) != 0,
            .step = static_cast<std::int64_t>(packed >> 8U)};
  }
  /// Changes whenever the rank gets on. Any thread.
  [[nodiscard]] std::uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }

 private:
  void wait(bool waiting) { change({now_.phase, waiting, now_.step}); }
  void change(const View& next) {
    const View before = std::exchange(now_, next);
    if (observer_ != nullptr) observer_->changed(before, now_);
    shown_.store(static_cast<std::uint64_t>(now_.step) << 8U |
                     std::uint64_t{static_cast<std::uint8_t>(now_.phase)} << 1U | (now_.waiting ? 1U : 0U),
                 std::memory_order_relaxed);
    progress();
  }

  View now_;  // the main thread's own, as the observer
  Observer* observer_ = nullptr;
  std::atomic<std::uint64_t> shown_ = 0;
  std::atomic<std::uint64_t> changes_ = 0;
};

}  // namespace lockstep::comm
