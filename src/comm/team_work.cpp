#include "comm/team_work.h"

#include <chrono>
#include <memory>
#include <new>
#include <utility>

namespace lockstep::comm {
namespace {

constexpr std::size_t line = 64;  // bytes of a cache line

std::size_t whole_lines(std::size_t bytes) {
  return (bytes + line - 1) / line * line;
}

/// For how long a thread that is not the main one looks for offers to come, before it leaves them to that
/// one: longer than ranks mostly wait for each other in a step, as long as workers with a core each spin
/// between two pieces (WorkerPool).
constexpr std::chrono::microseconds moment(200);

}  // namespace

/// At the start of a rank's part of the memory.
struct TeamWork::Offer {
  alignas(line) std::atomic<std::uint64_t> round = 0;  ///< that it has been made for
  std::atomic<std::int64_t> pieces = 0;
  std::int64_t notes = 0;                             ///< numbers, behind this
  std::int64_t floats = 0;                            ///< at the end
  alignas(line) std::atomic<std::int64_t> taken = 0;  ///< and looked for in vain
  alignas(line) std::atomic<std::int64_t> done = 0;
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free, "locks of a process do not work in another");

TeamWork::TeamWork(Collective& collective, std::int64_t floats, std::int64_t notes, std::string_view purpose)
    : collective_(collective), team_(collective.team()) {
  const std::size_t bytes = sizeof(Offer) +
                            whole_lines(static_cast<std::size_t>(notes) * sizeof(std::int64_t)) +
                            whole_lines(static_cast<std::size_t>(floats) * sizeof(float));
  memory_ = collective.make_visible(static_cast<std::int64_t>(bytes / sizeof(float)), purpose);
  Offer* const own =
      std::construct_at(reinterpret_cast<Offer*>(memory_[static_cast<std::size_t>(team_.place)].data()));
  std::uninitialized_value_construct_n(reinterpret_cast<std::int64_t*>(own + 1), notes);
  own->notes = notes;
  own->floats = floats;
  const Activity::Waiting waiting(collective.activity());
  collective.meet_team();
}

TeamWork::Offer& TeamWork::offer_of(int place) const {
  return *std::launder(reinterpret_cast<Offer*>(memory_[static_cast<std::size_t>(place)].data()));
}

std::span<std::int64_t> TeamWork::notes(int place) const {
  Offer& offer = offer_of(place);
  return {reinterpret_cast<std::int64_t*>(&offer + 1), static_cast<std::size_t>(offer.notes)};
}

std::span<float> TeamWork::memory(int place) const {
  const std::span<float> all = memory_[static_cast<std::size_t>(place)];
  const auto floats = static_cast<std::size_t>(offer_of(place).floats);
  return all.last(whole_lines(floats * sizeof(float)) / sizeof(float)).first(floats);
}

TeamWork::Piece::Piece(Piece&& other) noexcept
    : done_(std::exchange(other.done_, nullptr)), place_(other.place_), index_(other.index_) {}

TeamWork::Piece::~Piece() {
  if (done_ != nullptr) done_->fetch_add(1, std::memory_order_release);
}

void TeamWork::Round::offer(std::int64_t pieces) {
  Offer& own = work_.offer_of(work_.place());
  own.pieces.store(pieces, std::memory_order_relaxed);
  own.taken.store(0, std::memory_order_relaxed);
  own.done.store(0, std::memory_order_relaxed);
  own.round.store(work_.round_, std::memory_order_release);
  offered_ = true;
}

/// After the offer was seen.
std::optional<TeamWork::Piece> TeamWork::take_of(int place) {
  Offer& offer = offer_of(place);
  const std::int64_t pieces = offer.pieces.load(std::memory_order_relaxed);
  if (offer.taken.load(std::memory_order_relaxed) >= pieces) return std::nullopt;
  const std::int64_t piece = offer.taken.fetch_add(1, std::memory_order_relaxed);
  if (piece >= pieces) return std::nullopt;
  return Piece(offer.done, place, piece);
}

bool TeamWork::Round::has_offer(int place) const {
  return work_.offer_of(place).round.load(std::memory_order_acquire) >= work_.round_;
}

std::optional<TeamWork::Piece> TeamWork::Round::take(bool is_main) {
  Collective::Patience patience(work_.collective_, is_main);
  std::optional<Activity::Waiting> waiting;
  std::optional<std::chrono::steady_clock::time_point> since;
  while (true) {
    bool all_offered = true;
    for (int step = 0; step < work_.team_.size; ++step) {
      const int place = (work_.place() + step) % work_.team_.size;
      if (!has_offer(place))
        all_offered = false;
      else if (auto piece = take_of(place))
        return piece;
    }
    if (all_offered) return std::nullopt;
    if (is_main) {
      if (!waiting) waiting.emplace(work_.collective_.activity());
    } else {
      const auto now = std::chrono::steady_clock::now();
      if (!since) since = now;
      if (now - *since > moment) return std::nullopt;
    }
    patience.wait();
  }
}

void TeamWork::Round::wait_for_offers() {
  const Activity::Waiting waiting(work_.collective_.activity());
  Collective::Patience patience(work_.collective_, true);
  for (int place = 0; place < work_.team_.size; ++place)
    while (!has_offer(place)) patience.wait();
}

void TeamWork::Round::finish() {
  const Offer& own = work_.offer_of(work_.place());
  const Activity::Waiting waiting(work_.collective_.activity());
  Collective::Patience patience(work_.collective_, true);
  while (own.done.load(std::memory_order_acquire) < own.pieces.load(std::memory_order_relaxed))
    patience.wait();
}

}  // namespace lockstep::comm
