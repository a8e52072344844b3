#include "train/shared_shards.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace lockstep::train {
namespace {

/// Of any shard, in a full step or in the last one.
std::int64_t most_samples(const data::Stripes& stripes) {
  std::int64_t most = 0;
  for (std::int64_t shard = 0; shard < stripes.shards(); ++shard)
    most = std::max(most, stripes.rows(0, {shard, shard + 1}).size());
  return most;
}

std::int64_t floats_of_a_shard(std::int64_t samples, std::int64_t sample_floats) {
  constexpr std::int64_t line = 16;
  return (samples * sample_floats + line - 1) / line * line;
}

/// What a rank notes of the shards that it offers, for those who compute them; and they, of what came of it.
class Notes {
 public:
  static std::int64_t numbers(std::int64_t shards, std::int64_t most_samples) {
    return header_numbers + shards * (shard_numbers + 2 * most_samples);
  }
  Notes(std::span<std::int64_t> numbers, std::int64_t most_samples)
      : numbers_(numbers), most_samples_(static_cast<std::size_t>(most_samples)) {}

  [[nodiscard]] std::int64_t& shards() const { return numbers_[0]; }
  [[nodiscard]] std::int64_t& first_index() const { return numbers_[1]; }
  [[nodiscard]] std::int64_t& epoch() const { return numbers_[2]; }

  struct Shard {
    std::int64_t& samples;
    std::int64_t& slab;  ///< Collective::number_of() it
    std::int64_t& is_helped;
    std::int64_t& loss;  ///< its bits
    std::int64_t& correct;
    std::span<std::int64_t> rows, labels;  ///< of the samples
  };
  [[nodiscard]] Shard shard(std::int64_t index) const {
    const std::size_t numbers = shard_numbers + 2 * most_samples_;
    const auto own = numbers_.subspan(header_numbers + static_cast<std::size_t>(index) * numbers, numbers);
    return {.samples = own[0],
            .slab = own[1],
            .is_helped = own[2],
            .loss = own[3],
            .correct = own[4],
            .rows = own.subspan(shard_numbers, most_samples_),
            .labels = own.last(most_samples_)};
  }

 private:
  static constexpr std::size_t header_numbers = 3, shard_numbers = 5;
  std::span<std::int64_t> numbers_;
  std::size_t most_samples_;
};

}  // namespace

/// Those that are shared have theirs from the start; the others are a beginning of the shards, which workers
/// take in ascending order. It is enough, too, where nothing is shared: the last ones hold a slab each at
/// most. Groups are in flight as if each had a worker that takes all its shards at a time.
int slabs_with_shared(Range shards, std::int64_t total_shards, int workers, const Grouping& grouping,
                      int team) {
  const Range shared = shards_to_share(shards, grouping, team);
  return comm::LocalTree::slabs_needed({shards.begin, shared.begin}, total_shards,
                                       grouping.size > 1 ? grouping.in_flight : workers, grouping.size) +
         static_cast<int>(shared.size());
}

SharedShards::SharedShards(comm::Collective& collective, const data::Stripes& stripes, Range own,
                           std::int64_t first, std::int64_t sample_floats, int workers)
    : collective_(collective),
      own_(own),
      first_(first),
      most_samples_(most_samples(stripes)),
      sample_floats_(sample_floats),
      bytes_(bytes(stripes, own_, sample_floats)),
      team_(collective, own_.size() * floats_of_a_shard(most_samples_, sample_floats),
            Notes::numbers(own_.size(), most_samples_), "the samples of shards that any of them may compute"),
      labels_(static_cast<std::size_t>(workers),
              std::vector<std::int32_t>(static_cast<std::size_t>(most_samples_))) {
  slabs_.reserve(static_cast<std::size_t>(own_.size()));
  results_.reserve(static_cast<std::size_t>(own_.size()));
}

std::int64_t SharedShards::bytes(const data::Stripes& stripes, Range own, std::int64_t sample_floats) {
  if (own.empty()) return 0;
  const std::int64_t most = most_samples(stripes);
  return own.size() * floats_of_a_shard(most, sample_floats) * static_cast<std::int64_t>(sizeof(float)) +
         Notes::numbers(own.size(), most) * static_cast<std::int64_t>(sizeof(std::int64_t));
}

bool SharedShards::all_suit(int place, std::span<const std::int64_t> sizes) const {
  const Notes notes(team_.notes(place), most_samples_);
  for (std::int64_t i = 0; i < notes.shards(); ++i)
    if (std::ranges::find(sizes, notes.shard(i).samples) == sizes.end()) return false;
  return true;
}

void SharedShards::Step::offer(const data::Batch& batch, comm::LocalTree& tree) {
  const Notes notes(shards_.team_.notes(shards_.team_.place()), shards_.most_samples_);
  const Range own = shards_.own_;
  notes.shards() = own.size();
  notes.first_index() = own.begin - shards_.first_;
  notes.epoch() = batch.epoch;
  float* images = shards_.team_.memory(shards_.team_.place()).data();
  for (std::int64_t i = 0; i < own.size(); ++i) {
    const data::ShardBatch& from = batch.shards[static_cast<std::size_t>(notes.first_index() + i)];
    check(from.shard == own.begin + i, "a batch has all shards of its rank");
    const std::span<float> slab = shards_.slabs_.emplace_back(tree.take_slab());
    const Notes::Shard to = notes.shard(i);
    to.samples = from.count;
    to.slab = static_cast<std::int64_t>(shards_.collective_.number_of(slab.data()));
    to.is_helped = 0;
    std::copy_n(from.rows, from.count, to.rows.begin());
    std::copy_n(from.labels, from.count, to.labels.begin());
    std::copy_n(from.images, from.count * shards_.sample_floats_, images);
    images += floats_of_a_shard(shards_.most_samples_, shards_.sample_floats_);
  }
  round_.offer(own.size());
}

std::span<float> SharedShards::Step::slab_of(std::int64_t shard) const {
  if (shards_.slabs_.empty() || !shards_.own_.contains(shard)) return {};
  return shards_.slabs_[static_cast<std::size_t>(shard - shards_.own_.begin)];
}

std::optional<comm::TeamWork::Piece> SharedShards::Step::take(std::span<const std::int64_t> sizes) {
  const int ranks = shards_.team_.ranks();
  for (int step = 0; step < ranks; ++step) {
    const int place = (shards_.team_.place() + step) % ranks;
    if (!round_.has_offer(place) || (step > 0 && !shards_.all_suit(place, sizes))) continue;
    if (auto piece = round_.take_of(place)) return piece;
  }
  return std::nullopt;
}

bool SharedShards::Step::is_own(const comm::TeamWork::Piece& piece) const {
  return piece.place() == shards_.team_.place();
}

SharedShards::Shard SharedShards::Step::begin(const comm::TeamWork::Piece& piece, int worker) {
  const int place = piece.place();
  const Notes notes(shards_.team_.notes(place), shards_.most_samples_);
  const Notes::Shard shard = notes.shard(piece.index());
  shard.is_helped = 1;
  std::vector<std::int32_t>& labels = shards_.labels_[static_cast<std::size_t>(worker)];
  std::ranges::transform(shard.labels.first(static_cast<std::size_t>(shard.samples)), labels.begin(),
                         [](std::int64_t label) { return static_cast<std::int32_t>(label); });
  const std::int64_t floats = floats_of_a_shard(shards_.most_samples_, shards_.sample_floats_);
  return {.input = {.images = shards_.team_.memory(place).data() + piece.index() * floats,
                    .labels = labels.data(),
                    .rows = shard.rows.data(),
                    .epoch = notes.epoch()},
          .samples = shard.samples,
          .place = place,
          .index = notes.first_index() + piece.index(),
          .gradient = shards_.collective_.slab_of(place, static_cast<std::size_t>(shard.slab))};
}

void SharedShards::Step::end(const comm::TeamWork::Piece& piece, const device::Totals& totals) {
  const Notes::Shard shard =
      Notes(shards_.team_.notes(piece.place()), shards_.most_samples_).shard(piece.index());
  shard.loss = std::bit_cast<std::int64_t>(totals.loss);
  shard.correct = totals.correct;
}

std::span<const SharedShards::Result> SharedShards::Step::finish() {
  shards_.results_.clear();
  if (shards_.slabs_.empty()) return {};
  comm::Activity& activity = shards_.collective_.activity();
  const comm::Phase before = activity.phase();
  activity.enter(comm::Phase::computing_together);
  round_.finish();
  activity.enter(before);
  const Notes notes(shards_.team_.notes(shards_.team_.place()), shards_.most_samples_);
  for (std::int64_t i = 0; i < std::ssize(shards_.slabs_); ++i) {
    const Notes::Shard shard = notes.shard(i);
    if (shard.is_helped == 0) continue;
    shards_.results_.push_back({.shard = shards_.own_.begin + i,
                                .totals = {.loss = std::bit_cast<double>(shard.loss),
                                           .correct = shard.correct,
                                           .samples = shard.samples},
                                .gradient = shards_.slabs_[static_cast<std::size_t>(i)]});
  }
  return shards_.results_;
}

}  // namespace lockstep::train
