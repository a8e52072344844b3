#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "comm/collective.h"

namespace lockstep::comm {

/// Work of which each rank of a team (Collective::team) has pieces of its own, and with which all are through
/// at about the same time: who has done its own takes others'. A core that is slower for a moment then
/// holds up nobody as long as there are pieces left.
///
/// It goes by rounds, the same on all ranks of the team. In each, a rank writes what its pieces need into
/// memory() and notes() of its own place; then Round::offer(); then, on each of its workers, take() until
/// there is none; then finish(), or meet_team(). Where a piece needs what other ranks wrote, too, the main
/// thread calls wait_for_offers() before any is taken. Who should not wait for offers that are still to come
/// calls take_of() instead, for each place. Between a round and the next all ranks of the team must have
/// waited for each other, in meet_team() or for something else that each of them brings.
///
/// Happens-before: what a rank writes before offer() is seen by whoever takes a piece of it, and what is
/// written for a piece by its owner after finish(). When take() has none left for the main thread, that has
/// seen the offers of all ranks, and what they wrote before; an offer that it makes then, in a round of
/// another TeamWork, carries that on. A piece that an exception ends counts as done: the rank that threw has
/// to tell the others.
class TeamWork {
 public:
  /// With `floats` floats and `notes` numbers for what the pieces of this rank need. During set-up,
  /// collective over all ranks; throws AgreedError, as Collective::make_visible does. `collective` must
  /// outlive it.
  TeamWork(Collective& collective, std::int64_t floats, std::int64_t notes, std::string_view purpose);

  [[nodiscard]] int place() const { return team_.place; }
  [[nodiscard]] int ranks() const { return team_.size; }
  /// Of the rank at this place, as it asked for; floats on a cache line.
  [[nodiscard]] std::span<float> memory(int place) const;
  [[nodiscard]] std::span<std::int64_t> notes(int place) const;

  /// A piece that is to be done; counts as done at the end of its life.
  class Piece {
   public:
    Piece(Piece&& other) noexcept;
    Piece& operator=(Piece&&) = delete;
    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;
    ~Piece();
    [[nodiscard]] int place() const { return place_; }           ///< whose it is
    [[nodiscard]] std::int64_t index() const { return index_; }  ///< among those

   private:
    friend class TeamWork;
    Piece(std::atomic<std::int64_t>& done, int place, std::int64_t index)
        : done_(&done), place_(place), index_(index) {}
    std::atomic<std::int64_t>* done_;
    int place_;
    std::int64_t index_;
  };

  /// This rank's part in a round. If it ends without offer(), by an exception, others learn that there is
  /// nothing to wait for. Main thread, unless it is said otherwise.
  class Round {
   public:
    explicit Round(TeamWork& work) : work_(work) { ++work_.round_; }
    ~Round() {
      if (!offered_) offer(0);
    }
    Round(const Round&) = delete;
    Round& operator=(const Round&) = delete;

    void offer(std::int64_t pieces);
    /// The next piece, of this rank while it has any. None when those of all ranks are taken: while there are
    /// offers to come, the main thread waits for them, any other for a moment. On all workers at the same
    /// time.
    [[nodiscard]] std::optional<Piece> take(bool is_main);
    /// Returns when all ranks of the team have made their offers, and what they wrote before is seen.
    void wait_for_offers();
    /// Whether the rank at this place has made its offer in this round. Its notes can be read then, as far as
    /// it has come to write them. Any thread.
    [[nodiscard]] bool has_offer(int place) const;
    /// The next piece of that rank; none if there is no offer yet. Any thread.
    [[nodiscard]] std::optional<Piece> take_of(int place) {
      return has_offer(place) ? work_.take_of(place) : std::nullopt;
    }
    /// Returns when all pieces of this rank are done.
    void finish();

   private:
    TeamWork& work_;
    bool offered_ = false;
  };

 private:
  struct Offer;
  [[nodiscard]] Offer& offer_of(int place) const;
  [[nodiscard]] std::optional<Piece> take_of(int place);

  Collective& collective_;
  Collective::Team team_;
  std::vector<std::span<float>> memory_;  // by place: an Offer, notes, floats
  std::uint64_t round_ = 0;
};

}  // namespace lockstep::comm
