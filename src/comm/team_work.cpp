#include "comm/team_work.h"

#include <array>
#include <memory>
#include <new>
#include <utility>

#include "base/check.h"

namespace lockstep::comm {
namespace {

constexpr std::int64_t line_floats = 16;  // of a cache line

std::int64_t whole_lines(std::int64_t floats) {
  return (floats + line_floats - 1) / line_floats * line_floats;
}

constexpr std::int64_t note_floats = sizeof(std::int64_t) / sizeof(float);

}  // namespace

/// At the start of a rank's part of the memory; before its notes and its floats.
struct TeamWork::Offer {
  alignas(64) std::atomic<std::uint64_t> round = 0;  ///< that it has been made for
  std::atomic<std::int64_t> pieces = 0;
  alignas(64) std::atomic<std::int64_t> taken = 0;  ///< and looked for in vain
  alignas(64) std::atomic<std::int64_t> done = 0;
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free, "locks of a process do not work in another");

TeamWork::TeamWork(World& world, Collective& collective, std::int64_t floats, std::int64_t notes,
                   std::string_view purpose)
    : collective_(collective), team_(collective.team()) {
  std::array most{whole_lines(floats), whole_lines(notes * note_floats) / note_floats};
  world.max(most);
  floats_ = most[0];
  notes_ = most[1];
  constexpr std::int64_t offer_floats = sizeof(Offer) / sizeof(float);
  common_ = collective.make_common(team_.size * (offer_floats + notes_ * note_floats + floats_), purpose);
  std::construct_at(
      reinterpret_cast<Offer*>(common_.data() + std::ssize(common_) / team_.size * team_.place));
  world.barrier();
}

TeamWork::Offer& TeamWork::offer_of(int place) const {
  return *std::launder(reinterpret_cast<Offer*>(common_.data() + std::ssize(common_) / team_.size * place));
}

std::span<std::int64_t> TeamWork::notes(int place) const {
  return {reinterpret_cast<std::int64_t*>(&offer_of(place) + 1), static_cast<std::size_t>(notes_)};
}

std::span<float> TeamWork::memory(int place) const {
  return {reinterpret_cast<float*>(notes(place).data() + notes_), static_cast<std::size_t>(floats_)};
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

std::optional<TeamWork::Piece> TeamWork::Round::take(bool is_main) {
  Collective::Patience patience(work_.collective_, is_main);
  std::optional<Activity::Waiting> waiting;
  while (true) {
    bool all_offered = true;
    for (int step = 0; step < work_.team_.size; ++step) {
      const int place = (work_.place() + step) % work_.team_.size;
      if (work_.offer_of(place).round.load(std::memory_order_acquire) < work_.round_)
        all_offered = false;
      else if (auto piece = work_.take_of(place))
        return piece;
    }
    if (all_offered) return std::nullopt;
    if (is_main && !waiting) waiting.emplace(work_.collective_.activity());
    patience.wait();
  }
}

void TeamWork::Round::finish() {
  const Offer& own = work_.offer_of(work_.place());
  const Activity::Waiting waiting(work_.collective_.activity());
  Collective::Patience patience(work_.collective_, true);
  while (own.done.load(std::memory_order_acquire) < own.pieces.load(std::memory_order_relaxed))
    patience.wait();
}

}  // namespace lockstep::comm
