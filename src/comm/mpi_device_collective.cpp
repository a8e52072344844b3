#include "comm/mpi_device_collective.h"

#include "base/check.h"
#include "comm/collective.h"

namespace lockstep::comm {
namespace {

constexpr std::string_view exchanging = "the exchange of gradients";
constexpr std::string_view gathering = "the gathering of weights";
constexpr std::string_view adding = "the sum of gradients";

std::span<float> part_of(std::span<float> slab, Range part) {
  return slab.subspan(static_cast<std::size_t>(part.begin), static_cast<std::size_t>(part.size()));
}

}  // namespace

MpiDeviceCollective::MpiDeviceCollective(World& world, device::Accelerator& accelerator,
                                         std::int64_t slab_size, std::int64_t shards, MpiReads reads)
    : DeviceCollective(world, accelerator, slab_size, shards), reads_(reads), messages_(world) {
  world.agree([this] { allocate(); });
  receive_into(received_.span());
}

void MpiDeviceCollective::allocate() {
  received_ = accelerator_.make_array<float>(received_floats());
  if (!is_staged()) return;
  incoming_ = accelerator_.make_pinned<float>(received_floats());
  outgoing_ = accelerator_.make_pinned<float>(std::ssize(results_of(world_.rank())) * slab_size_);
  slab_ = accelerator_.make_pinned<float>(slab_size_);
}

std::string_view MpiDeviceCollective::name() const {
  return is_staged() ? "mpi through host memory" : "mpi from device memory";
}

std::array<Range, 2> MpiDeviceCollective::other_slices() const {
  return {Range{0, own_slice().begin}, Range{own_slice().end, slab_size_}};
}

std::span<float> MpiDeviceCollective::outgoing(std::size_t partial) const {
  const auto size = static_cast<std::size_t>(slab_size_);
  return outgoing_.span().subspan(partial * size, size);
}

std::span<const DeviceSlicePartial> MpiDeviceCollective::exchange(
    device::Stream& stream, std::span<const DevicePartial> local,
    device::DeviceSpan<device::StepFindings> findings) {
  check(findings.count == 0, "the host decides where an exchange takes the host");
  take_local(local);
  if (is_staged())
    for (std::size_t i = 0; i < local.size(); ++i)
      for (const Range part : other_slices())
        copy_out<float>(stream, part_of(outgoing(i), part), local[i].slab.subspan(part.begin, part.size()));
  wait(stream);
  pass_on(local);
  if (is_staged()) copy_in<float>(stream, received_.span(), incoming_.span());
  return results_;
}

void MpiDeviceCollective::pass_on(std::span<const DevicePartial> local) {
  const Activity::Waiting waiting(activity());
  const std::int64_t own = own_slice().size();
  float* next = is_staged() ? incoming_.span().data() : received_.span().data;
  for (int rank = 0; own > 0 && rank < world_.size(); ++rank) {
    if (rank == world_.rank()) continue;
    for (std::size_t i = 0; i < results_of(rank).size(); ++i, next += own)
      messages_.receive(rank, next, own, exchanging);
  }
  for (int step = 1; step < world_.size(); ++step) {  // from the right neighbour on: not all to rank 0 first
    const int owner = (world_.rank() + step) % world_.size();
    if (slice(owner).empty()) continue;
    for (std::size_t i = 0; i < local.size(); ++i) {
      const float* slab = is_staged() ? outgoing(i).data() : local[i].slab.data;
      messages_.send(owner, slab + slice(owner).begin, slice(owner).size(), exchanging);
    }
  }
  messages_.wait_for_all(exchanging);
}

void MpiDeviceCollective::all_gather(device::Stream& stream, device::DeviceSpan<float> weights) {
  check(weights.count == slab_size_, "weights are a slab");
  const Range own = own_slice();
  if (is_staged())
    copy_out<float>(stream, part_of(slab_.span(), own), weights.subspan(own.begin, own.size()));
  wait(stream);
  pass_on_slices(is_staged() ? slab_.span().data() : weights.data);
  if (is_staged())
    for (const Range part : other_slices())
      copy_in<float>(stream, weights.subspan(part.begin, part.size()), part_of(slab_.span(), part));
}

void MpiDeviceCollective::pass_on_slices(float* slab) {
  const Activity::Waiting waiting(activity());
  const Range own = own_slice();
  for (int step = 1; step < world_.size(); ++step) {
    const int other = (world_.rank() + step) % world_.size();
    const Range theirs = slice(other);
    if (!theirs.empty()) messages_.receive(other, slab + theirs.begin, theirs.size(), gathering);
    if (!own.empty()) messages_.send(other, slab + own.begin, own.size(), gathering);
  }
  messages_.wait_for_all(gathering);
}

void MpiDeviceCollective::all_reduce(device::Stream& stream, device::DeviceSpan<float> values) {
  check(values.count <= slab_size_, "what is added fits a slab");
  const std::span<float> staged =
      is_staged() ? slab_.span().first(static_cast<std::size_t>(values.count)) : std::span<float>();
  if (is_staged()) copy_out<float>(stream, staged, values);
  wait(stream);
  {
    const Activity::Waiting waiting(activity());
    sum_over_ranks(world_, is_staged() ? staged.data() : values.data, values.count, adding);
  }
  if (is_staged()) copy_in<float>(stream, values, staged);
}

}  // namespace lockstep::comm
