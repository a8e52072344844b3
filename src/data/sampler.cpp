#include "data/sampler.h"

#include <limits>

#include "base/check.h"
#include "base/philox.h"
#include "data/kept_rows.h"
#include "data/permutation.h"

namespace lockstep::data {
namespace {

/// Tells the permutation of everything from those of the stripes, which are numbered from 0.
constexpr std::uint32_t global_stream = std::numeric_limits<std::uint32_t>::max();

Permutation permutation(std::int64_t size, std::uint64_t seed, std::uint32_t stream, std::int64_t epoch) {
  const RandomKey key(seed, Purpose::shuffle, stream);
  Permutation::RoundKeys keys{};
  for (std::size_t pair = 0; 2 * pair < keys.size(); ++pair) {
    const auto words = key.words(static_cast<std::uint32_t>(epoch), 0, static_cast<std::uint32_t>(pair));
    keys.at(2 * pair) = std::uint64_t{words[0]} << 32U | words[1];
    keys.at(2 * pair + 1) = std::uint64_t{words[2]} << 32U | words[3];
  }
  return {size, keys};
}

}  // namespace

Sampler::Sampler(Stripes stripes, config::Shuffle shuffle, std::uint64_t seed)
    : stripes_(stripes), shuffle_(shuffle), seed_(seed) {
  check(stripes.shards() < global_stream, "shards can be told apart from the whole");
}

std::int64_t Sampler::count(std::int64_t step, std::int64_t shard) const {
  return stripes_.rows(step, {shard, shard + 1}).size();
}

void Sampler::rows(std::int64_t epoch, std::int64_t step, std::int64_t shard,
                   std::span<std::int64_t> out) const {
  check(1 <= epoch && epoch <= std::numeric_limits<std::uint32_t>::max(), "epochs count from 1 in 32 bits");
  const Range rows = stripes_.rows(step, {shard, shard + 1});
  check(static_cast<std::int64_t>(out.size()) == rows.size(), "room for each row of a shard");
  if (rows.empty()) return;

  switch (shuffle_) {
    case config::Shuffle::none:
      for (std::int64_t row = rows.begin; std::int64_t& element : out) element = row++;
      return;
    case config::Shuffle::stripes: {
      const auto stream = static_cast<std::uint32_t>(shard);
      const KeptRows stripe(stripes_, {shard, shard + 1});
      const Permutation permute = permutation(stripe.count(), seed_, stream, epoch);
      for (std::int64_t position = stripe.index_of(rows.begin); std::int64_t& element : out)
        element = stripe.row_at(permute(position++));
      return;
    }
    case config::Shuffle::global: {
      const Permutation permute = permutation(stripes_.samples(), seed_, global_stream, epoch);
      for (std::int64_t row = rows.begin; std::int64_t& element : out) element = permute(row++);
      return;
    }
  }
}

}  // namespace lockstep::data
