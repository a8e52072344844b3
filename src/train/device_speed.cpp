// How an accelerator moves data, alone and with those of other ranks.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <exception>
#include <functional>
#include <string_view>

#include "comm/collective.h"
#include "comm/device_collective.h"
#include "tensor/parameters.h"
#include "train/device_checks.h"

namespace lockstep::train {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto started = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

/// The shortest of some repetitions: others may use the machine. As many on each rank.
double shortest(const std::function<void()>& work, int repetitions) {
  work();  // what is done the first time only
  double best = seconds_of(work);
  for (int i = 1; i < repetitions; ++i) best = std::min(best, seconds_of(work));
  return best;
}

/// A step's exchange on one rank: each shard's gradient is one number throughout.
class SampleExchange {
 public:
  SampleExchange(comm::World& world, device::Accelerator& accelerator, config::Exchange exchange,
                 std::int64_t slab_size)
      : accelerator_(accelerator),
        shards_(static_cast<std::int64_t>(std::bit_ceil(static_cast<unsigned>(world.size())))),
        collective_(comm::make_device_collective(world, accelerator, slab_size, shards_, exchange)) {
    const Range own = comm::shards_of_rank(shards_, world.size(), world.rank());
    for (int rank = 0; rank < world.size(); ++rank)
      sum_of_firsts_ += sum_of(comm::subtrees(comm::shards_of_rank(shards_, world.size(), rank), shards_)[0]);
    world.agree([&] {
      stream_ = accelerator.make_stream();
      const auto staged = accelerator.make_pinned<float>(slab_size);
      for (const comm::Subtree& tree : comm::subtrees(own, shards_)) {
        slabs_.push_back(accelerator.make_array<float>(slab_size));
        std::ranges::fill(staged.span(), static_cast<float>(sum_of(tree)));
        device::copy_in<float>(*stream_, slabs_.back().span(), staged.span());
        stream_->synchronize();
        partials_.push_back({tree, slabs_.back().span()});
      }
      weights_ = accelerator.make_array<float>(slab_size);
      arguments_ = accelerator.make_array<device::UpdateArguments>(1);
      const auto one = accelerator.make_pinned<device::UpdateArguments>(1);
      one.span()[0] = {};
      device::copy_in<device::UpdateArguments>(*stream_, arguments_.span(), one.span());
      stream_->synchronize();
    });
  }

  /// What is queued uses the slabs: after a failure it has to end first.
  ~SampleExchange() {
    if (std::uncaught_exceptions() > exceptions_) collective_->give_up(*stream_);
  }
  SampleExchange(const SampleExchange&) = delete;
  SampleExchange& operator=(const SampleExchange&) = delete;

  /// Leaves the sum over all shards in the weights of all ranks; returns it.
  std::int64_t over_tree() {
    std::vector<comm::Subtree> trees;
    std::vector<device::DeviceSpan<const float>> slices;
    for (const comm::DeviceSlicePartial& partial : collective_->exchange(*stream_, partials_)) {
      trees.push_back(partial.tree);
      slices.push_back(partial.slice);
    }
    const Range own = collective_->own_slice();
    accelerator_.mean(*stream_, slices, comm::tree_additions(trees, shards_), arguments_.span(),
                      weights_.span().subspan(own.begin, own.size()));
    collective_->all_gather(*stream_, weights_.span());
    collective_->wait(*stream_);
    return sum_of({.first = 0, .count = shards_});
  }

  /// The same with what each rank has of its first shards.
  std::int64_t all_reduce() {
    device::copy<float>(*stream_, weights_.span(), slabs_.front().span());
    collective_->all_reduce(*stream_, weights_.span());
    collective_->wait(*stream_);
    return sum_of_firsts_;
  }

  /// Whether that is what all weights are.
  bool all_are(std::int64_t expected) {
    const auto sums = accelerator_.make_pinned<float>(weights_.span().count);
    device::copy_out<float>(*stream_, sums.span(), weights_.span());
    collective_->wait(*stream_);
    return std::ranges::all_of(sums.span(), [&](float sum) { return sum == static_cast<float>(expected); });
  }
  [[nodiscard]] std::string name() const { return std::string(collective_->name()); }

 private:
  static std::int64_t sum_of(const comm::Subtree& tree) {
    std::int64_t sum = 0;
    for (std::int64_t shard = tree.first; shard < tree.first + tree.count; ++shard) sum += shard + 1;
    return sum;
  }

  int exceptions_ = std::uncaught_exceptions();  // under way when this was made
  device::Accelerator& accelerator_;
  std::int64_t shards_;
  std::int64_t sum_of_firsts_ = 0;
  std::unique_ptr<comm::DeviceCollective> collective_;
  std::unique_ptr<device::Stream> stream_;
  std::vector<device::DeviceArray<float>> slabs_;
  std::vector<comm::DevicePartial> partials_;
  device::DeviceArray<float> weights_;
  device::DeviceArray<device::UpdateArguments> arguments_;
};

/// Whether `run` of a sample leaves the sum that it returns on all ranks.
Check check_sums(comm::World& world, device::Accelerator& accelerator, config::Exchange exchange,
                 std::string_view what, const std::function<std::int64_t(SampleExchange&)>& run) {
  SampleExchange sample(world, accelerator, exchange, 100 * Parameters::block);
  const std::int64_t expected = run(sample);
  std::int64_t wrong_ranks = sample.all_are(expected) ? 0 : 1;
  world.sum({&wrong_ranks, 1});
  return {std::string(what), wrong_ranks == 0,
          wrong_ranks == 0 ? fmt::format("the right sums, by {}", sample.name())
                           : fmt::format("wrong sums on ranks: {}, by {}", wrong_ranks, sample.name())};
}

}  // namespace

Check check_exchange(comm::World& world, device::Accelerator& accelerator, config::Exchange exchange) {
  return check_sums(world, accelerator, exchange, "exchange", &SampleExchange::over_tree);
}

Check check_all_reduce(comm::World& world, device::Accelerator& accelerator, config::Exchange exchange) {
  return check_sums(world, accelerator, exchange, "all-reduce", &SampleExchange::all_reduce);
}

std::vector<Speed> measure_copies(device::Accelerator& accelerator) {
  constexpr std::int64_t most = std::int64_t{256} << 20U;
  const std::int64_t bytes = std::min(most, accelerator.facts().free_bytes / 8);
  const auto stream = accelerator.make_stream();
  const auto pinned = accelerator.make_pinned<std::byte>(bytes);
  const auto one = accelerator.make_array<std::byte>(bytes);
  const auto other = accelerator.make_array<std::byte>(bytes);
  std::ranges::fill(pinned.span(), std::byte{1});
  const device::Drain drain(*stream);
  const auto rate = [&](const std::function<void()>& queue) {
    constexpr int repetitions = 10;
    const auto copy = [&] {
      queue();
      stream->synchronize();
    };
    return static_cast<double>(bytes) / shortest(copy, repetitions) / 1e9;
  };
  return {
      {"host to device", rate([&] { stream->copy_in(one.span().data, pinned.span().data(), bytes); }),
       "GB/s"},
      {"device to host", rate([&] { stream->copy_out(pinned.span().data(), one.span().data, bytes); }),
       "GB/s"},
      {"within the device", rate([&] { stream->copy(other.span().data, one.span().data, bytes); }), "GB/s"}};
}

std::vector<Speed> measure_exchanges(comm::World& world, device::Accelerator& accelerator,
                                     config::Exchange exchange) {
  constexpr std::int64_t slab_size = 16384 * Parameters::block;  // 64 MiB
  constexpr int repetitions = 4;
  SampleExchange sample(world, accelerator, exchange, slab_size);
  const auto speed = [&](std::string_view what, const std::function<void()>& work) {
    const double bytes = static_cast<double>(slab_size) * sizeof(float);
    return Speed{fmt::format("{} of 67 MB among ranks: {}, by {}", what, world.size(), sample.name()),
                 bytes / shortest(work, repetitions) / 1e9, "GB/s"};
  };
  return {speed("exchange", [&] { sample.over_tree(); }), speed("all-reduce", [&] { sample.all_reduce(); })};
}

}  // namespace lockstep::train
