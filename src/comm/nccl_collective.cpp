#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include "base/check.h"
#include "comm/device_collective.h"
#include "comm/nccl_communicator.h"
#include "comm/poll_together.h"
#include "device/cuda/stream.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

using Clock = std::chrono::steady_clock;
using device::cuda::native;

constexpr std::string_view exchanging = "the exchange of gradients";
constexpr std::string_view gathering = "the gathering of weights";
constexpr std::string_view adding = "the sum of gradients";
constexpr std::string_view sharing = "the agreement on a step";
constexpr std::string_view warming_up = "the first messages";

constexpr std::chrono::seconds warm_up_limit{120};

/// How long a wait costs a whole core, and how often it looks afterwards.
constexpr std::chrono::milliseconds impatience{20};
constexpr std::chrono::microseconds nap{50};

/// One device for each rank. Everything is queued on the stream, and may be captured. What was queued must be
/// done, and graphs of it destroyed, before the collective is; unless an exception unwinds.
class NcclCollective final : public DeviceCollective {
 public:
  NcclCollective(World& world, device::Accelerator& accelerator, std::int64_t slab_size, std::int64_t shards)
      : DeviceCollective(world, accelerator, slab_size, shards),
        communicator_(world, accelerator.facts().index) {
    world.agree([&] { received_ = accelerator.make_array<float>(received_floats()); });
    receive_into(received_.span());
    warm_up(true, std::array{Parameters::block, slab_size});
  }

  [[nodiscard]] std::string_view name() const override { return "nccl"; }
  [[nodiscard]] bool only_queues() const override { return true; }
  std::span<const DeviceSlicePartial> exchange(device::Stream& stream, std::span<const DevicePartial> local,
                                               device::DeviceSpan<device::StepFindings> findings) override;
  void all_gather(device::Stream& stream, device::DeviceSpan<float> weights) override;
  void all_reduce(device::Stream& stream, device::DeviceSpan<float> values) override;
  void prepare_sums(std::span<const std::int64_t> floats) override { warm_up(false, floats); }
  void share(device::Stream& stream, device::DeviceSpan<device::StepFindings> of_ranks) override;
  void wait(device::Awaitable& work) override;
  void give_up(device::Stream& stream) noexcept override;

 private:
  void ask_for_findings(device::Stream& stream, device::DeviceSpan<device::StepFindings> of_ranks);
  void warm_up(bool pairs, std::span<const std::int64_t> sums);
  /// A failure leaves the connections as they are, which a capture may be using: give_up() drops them.
  template <class Calls>
  void queue(std::string_view operation, const Calls& calls) {
    communicator_.group(operation, calls);
    while (!communicator_.is_settled()) std::this_thread::yield();
  }
  /// Calls f(rank) for every other rank, from the right neighbour on.
  template <class F>
  void for_each_other(const F& f) const {
    for (int step = 1; step < world_.size(); ++step) f((world_.rank() + step) % world_.size());
  }

  /// The own slice of the others' partial sums: what results_ point at.
  device::DeviceArray<float> received_;
  NcclCommunicator communicator_;
};

std::span<const DeviceSlicePartial> NcclCollective::exchange(
    device::Stream& stream, std::span<const DevicePartial> local,
    device::DeviceSpan<device::StepFindings> findings) {
  take_local(local);
  const std::int64_t own = own_slice().size();
  float* next = received_.span().data;
  queue(exchanging, [&] {
    for (int rank = 0; own > 0 && rank < world_.size(); ++rank) {
      if (rank == world_.rank()) continue;
      for (std::size_t i = 0; i < results_of(rank).size(); ++i, next += own)
        communicator_.receive(next, own, rank, native(stream));
    }
    for_each_other([&](int owner) {
      const Range theirs = slice(owner);
      for (const DevicePartial& partial : local)
        if (!theirs.empty())
          communicator_.send(partial.slab.data + theirs.begin, theirs.size(), owner, native(stream));
    });
    if (findings.count > 0) ask_for_findings(stream, findings);
  });
  return results_;
}

void NcclCollective::all_gather(device::Stream& stream, device::DeviceSpan<float> weights) {
  check(weights.count == slab_size_, "weights are a slab");
  const Range own = own_slice();
  queue(gathering, [&] {
    for_each_other([&](int other) {
      const Range theirs = slice(other);
      if (!own.empty()) communicator_.send(weights.data + own.begin, own.size(), other, native(stream));
      if (!theirs.empty())
        communicator_.receive(weights.data + theirs.begin, theirs.size(), other, native(stream));
    });
  });
}

void NcclCollective::all_reduce(device::Stream& stream, device::DeviceSpan<float> values) {
  queue(adding, [&] { communicator_.all_reduce(values.data, values.count, native(stream)); });
}

void NcclCollective::share(device::Stream& stream, device::DeviceSpan<device::StepFindings> of_ranks) {
  queue(sharing, [&] { ask_for_findings(stream, of_ranks); });
}

/// Messages are of floats here, and come as they go.
void NcclCollective::ask_for_findings(device::Stream& stream,
                                      device::DeviceSpan<device::StepFindings> of_ranks) {
  constexpr std::int64_t size = sizeof(device::StepFindings) / sizeof(float);
  check(of_ranks.count == world_.size(), "each rank has findings");
  float* const all = reinterpret_cast<float*>(of_ranks.data);
  for_each_other([&](int other) {
    communicator_.send(all + world_.rank() * size, size, other, native(stream));
    communicator_.receive(all + other * size, size, other, native(stream));
  });
}

void NcclCollective::wait(device::Awaitable& work) {
  const std::string_view doing = name_of(Activity::unpack(activity().packed()).phase);
  const Activity::Waiting waiting(activity());
  const Clock::time_point patient_from = Clock::now() + impatience;
  try {
    while (!work.idle()) {
      communicator_.look(doing);
      if (Clock::now() < patient_from)
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(nap);
    }
    communicator_.look(doing);
  } catch (...) {
    communicator_.abort();
    throw;
  }
}

void NcclCollective::give_up(device::Stream& stream) noexcept {
  communicator_.abort();
  DeviceCollective::give_up(stream);
}

/// NCCL connects two ranks, and allocates, when they first have to do with each other, and once more for each
/// of its ways to add up, which it takes by size. A capture must not find it at that. Sends a message to and
/// from each other rank (`pairs`), and adds up so many floats.
void NcclCollective::warm_up(bool pairs, std::span<const std::int64_t> sums) {
  device::DeviceArray<float> slab;
  device::DeviceArray<float> from_each;
  std::unique_ptr<device::Stream> stream;
  world_.agree([&] {
    stream = accelerator_.make_stream();
    slab = accelerator_.make_array<float>(slab_size_);
    from_each = accelerator_.make_array<float>(world_.size());
  });
  const auto ask_for_pairs = [&] {
    for_each_other([&](int other) {
      communicator_.send(slab.span().data, 1, other, native(*stream));
      communicator_.receive(from_each.span().data + other, 1, other, native(*stream));
    });
  };
  bool cleared = false;
  try {
    // Nothing here waits in NCCL: a rank that has failed would never come.
    poll_together(world_, "the first messages of NCCL", warm_up_limit, [&] {
      if (!communicator_.is_settled()) return false;
      if (!std::exchange(cleared, true)) stream->clear(slab.span().data, slab.span().bytes());
      if (!pairs && sums.empty()) return stream->idle();
      communicator_.group(warming_up, [&] {
        if (pairs) return ask_for_pairs();
        communicator_.all_reduce(slab.span().data, sums.front(), native(*stream));
      });
      if (!std::exchange(pairs, false)) sums = sums.subspan(1);
      return false;
    });
  } catch (...) {
    give_up(*stream);
    throw;
  }
}

}  // namespace

std::unique_ptr<DeviceCollective> make_nccl_collective(World& world, device::Accelerator& accelerator,
                                                       std::int64_t slab_size, std::int64_t shards) {
  return std::make_unique<NcclCollective>(world, accelerator, slab_size, shards);
}

}  // namespace lockstep::comm
