#include "train/joint_shards.h"

#include <algorithm>

#include "base/stopwatch.h"

namespace lockstep::train {
namespace {

/// What a rank notes for those that help it: how its memory is laid out, how many samples each of its shards
/// has, then a few numbers for each of its sums.
class Notes {
 public:
  struct Sum {
    std::int64_t first, count;  ///< of its shards, among the rank's
    std::int64_t slab;          ///< Collective::number_of() it
  };

  /// There are no more sums than shards.
  static std::int64_t numbers(std::int64_t shards) { return 1 + shards * (1 + sum_numbers); }
  explicit Notes(std::span<std::int64_t> numbers)
      : stride_(numbers.front()),
        numbers_(numbers.subspan(1)),
        shards_(numbers_.size() / (1 + sum_numbers)) {}

  /// Floats from a shard's memory to the next one's.
  [[nodiscard]] std::int64_t& stride() const { return stride_; }
  /// That there is room for.
  [[nodiscard]] std::size_t shards() const { return shards_; }
  [[nodiscard]] std::int64_t& samples(std::size_t shard) const { return numbers_[shard]; }
  void set_sum(std::size_t index, const Sum& sum) const {
    const std::span<std::int64_t> to = numbers_of(index);
    to[0] = sum.first;
    to[1] = sum.count;
    to[2] = sum.slab;
  }
  [[nodiscard]] Sum sum(std::size_t index) const {
    const std::span<std::int64_t> from = numbers_of(index);
    return {.first = from[0], .count = from[1], .slab = from[2]};
  }

 private:
  static constexpr std::int64_t sum_numbers = 3;
  [[nodiscard]] std::span<std::int64_t> numbers_of(std::size_t sum) const {
    return numbers_.subspan(shards_ + sum * sum_numbers, sum_numbers);
  }
  std::int64_t& stride_;
  std::span<std::int64_t> numbers_;
  std::size_t shards_;
};

}  // namespace

JointShards::JointShards(const device::JointGradients& gradients, std::int64_t shards,
                         std::int64_t most_samples, WorkerPool& workers)
    : gradients_(gradients),
      workers_(workers),
      shards_(shards),
      floats_(gradients.kept_floats(most_samples)),
      own_notes_(static_cast<std::size_t>(Notes::numbers(shards))) {
  for (std::int64_t shard = 0; shard < shards; ++shard) own_.emplace_back(static_cast<std::size_t>(floats_));
  make_room(static_cast<std::size_t>(shards));
}

/// For the shards of a worker's piece.
void JointShards::make_room(std::size_t shards) {
  of_piece_.resize(static_cast<std::size_t>(workers_.size()));
  for (auto& shards_of_piece : of_piece_) shards_of_piece.resize(std::max(shards, shards_of_piece.size()));
}

void JointShards::share(comm::Collective& collective, Ownership ownership) {
  constexpr std::int64_t line = 16;  // floats
  const std::int64_t stride = (floats_ + line - 1) / line * line;
  own_.clear();  // first, so that there is never room for both
  team_ = std::make_unique<comm::TeamWork>(collective, shards_ * stride, Notes::numbers(shards_),
                                           "the inputs and gradients of large dense layers");
  collective_ = &collective;
  own_notes_.clear();
  Notes(notes(team_->place())).stride() = stride;
  std::size_t shards = 0;
  for (int place = 0; place < team_->ranks(); ++place) shards += Notes(notes(place)).shards();
  make_room(shards);
  if (team_->ranks() > 1 && collective.is_one_team() && ownership == Ownership::slices)
    complete_ = collective.make_common(complete_floats(gradients_), "sums of large dense layers' gradients");
}

std::span<std::int64_t> JointShards::notes(int place) {
  return team_ ? team_->notes(place) : std::span(own_notes_);
}

float* JointShards::kept(std::size_t shard) {
  return kept(team_ ? team_->place() : 0, static_cast<std::int64_t>(shard));
}

float* JointShards::kept(int place, std::int64_t shard) {
  if (!team_) return own_[static_cast<std::size_t>(shard)].data();
  return team_->memory(place).data() + shard * Notes(notes(place)).stride();
}

std::int64_t JointShards::bytes() const {
  std::int64_t floats = shards_ * floats_;
  if (can_complete() && team_->place() == 0) floats += complete_floats(gradients_);
  return floats * static_cast<std::int64_t>(sizeof(float));
}

void JointShards::note_samples(const data::Batch& batch) {
  const Notes notes(own_notes());
  for (std::size_t shard = 0; shard < batch.shards.size(); ++shard)
    notes.samples(shard) = batch.shards[shard].count;
}

/// What so many shards of the rank at this place keep, from its `first` one on.
void JointShards::find_shards(int place, std::int64_t first, std::span<device::KeptShard> to) {
  const Notes notes(this->notes(place));
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::int64_t shard = first + static_cast<std::int64_t>(i);
    to[i] = {.data = kept(place, shard), .samples = notes.samples(static_cast<std::size_t>(shard))};
  }
}

/// One piece of the sums of the rank at this place.
void JointShards::add_up_piece(int place, std::int64_t piece, int worker, const comm::LocalTree& tree) {
  const std::int64_t pieces = gradients_.pieces();
  const auto index = static_cast<std::size_t>(piece / pieces);
  const Notes::Sum sum = Notes(notes(place)).sum(index);
  const auto shards =
      std::span(of_piece_[static_cast<std::size_t>(worker)]).first(static_cast<std::size_t>(sum.count));
  find_shards(place, sum.first, shards);
  float* const slab = team_ && place != team_->place()
                          ? collective_->slab_of(place, static_cast<std::size_t>(sum.slab)).data()
                          : tree.sum(index).slab.data();
  gradients_.add_up(piece % pieces, shards, slab);
}

/// Which pieces of the complete sums the rank at this place begins with: mostly of the slice that it then
/// updates, and so finds in its caches.
Range JointShards::pieces_of(int place) const {
  return piece(gradients_.pieces(), team_->ranks(), place);
}

void JointShards::complete_piece(std::int64_t piece, int worker) {
  const auto shards = std::span(of_piece_[static_cast<std::size_t>(worker)]);
  std::size_t found = 0;
  for (int place = 0; place < team_->ranks(); ++place) {
    const std::size_t count = Notes(notes(place)).shards();
    find_shards(place, 0, shards.subspan(found, count));
    found += count;
  }
  gradients_.add_up(piece, shards.first(found), complete_.data());
}

/// If this rank fails before it has noted what its shards keep, they count as empty for others that complete
/// sums: what they keep is then unspecified, and may be of another length than was noted last.
JointShards::Step::Step(JointShards& joint) : joint_(joint) {
  const Notes notes(joint_.own_notes());
  for (std::size_t shard = 0; shard < notes.shards(); ++shard) notes.samples(shard) = 0;
  if (joint_.team_) round_.emplace(*joint_.team_);
}

void JointShards::Step::add_up(const data::Batch& batch, const comm::LocalTree& tree,
                               const TimesOfWorker& times_of) {
  joint_.note_samples(batch);
  const Notes notes(joint_.own_notes());
  const bool is_shared = joint_.team_ && joint_.collective_->team().size > 1;
  for (std::size_t i = 0; i < tree.sum_count(); ++i) {
    const comm::LocalTree::Sum sum = tree.sum(i);
    const std::size_t number = is_shared ? joint_.collective_->number_of(sum.slab.data()) : 0;
    notes.set_sum(i, {.first = sum.tree.first - batch.shards.front().shard,
                      .count = sum.tree.count,
                      .slab = static_cast<std::int64_t>(number)});
  }
  run_sums(static_cast<std::int64_t>(tree.sum_count()) * joint_.gradients_.pieces(), tree, times_of);
}

void JointShards::Step::help(const comm::LocalTree& tree, const TimesOfWorker& times_of) {
  if (round_) run_sums(0, tree, times_of);
}

void JointShards::Step::run_sums(std::int64_t pieces, const comm::LocalTree& tree,
                                 const TimesOfWorker& times_of) {
  run(pieces, Begin::at_once, times_of,
      [&](int place, std::int64_t piece, int worker) { joint_.add_up_piece(place, piece, worker, tree); });
}

void JointShards::Step::complete(const data::Batch& batch, const TimesOfWorker& times_of) {
  joint_.note_samples(batch);
  run(joint_.pieces_of(joint_.team_->place()).size(), Begin::when_all_have_come, times_of,
      [&](int place, std::int64_t piece, int worker) {
        joint_.complete_piece(joint_.pieces_of(place).begin + piece, worker);
      });
}

template <class AddUp>
void JointShards::Step::run(std::int64_t pieces, Begin begin, const TimesOfWorker& times_of,
                            const AddUp& add_up) {
  const auto timed = [&](int place, std::int64_t piece, int worker) {
    WorkerTimes* const times = times_of(worker);
    Stopwatch stopwatch(times != nullptr);
    add_up(place, piece, worker);
    if (times != nullptr) stopwatch.lap(times->adding);
  };
  if (!round_)
    return joint_.workers_.run_pieces(pieces,
                                      [&](std::int64_t piece, int worker) { timed(0, piece, worker); });
  comm::Activity& activity = joint_.collective_->activity();
  const comm::Phase before = activity.phase();
  activity.enter(comm::Phase::computing_together);
  round_->offer(pieces);
  if (begin == Begin::when_all_have_come) round_->wait_for_offers();
  joint_.workers_.run([&](int worker) {
    while (const auto piece = round_->take(worker == 0)) timed(piece->place(), piece->index(), worker);
  });
  round_->finish();
  activity.enter(before);
}

}  // namespace lockstep::train
