// Uses of the device that are ordered, and the same with one thing left out. Compiled for ThreadSanitizer,
// which reports what nothing orders; race_test.cpp runs this program and reads the reports.
//
//     cuda_race_scenarios NAME sound|broken SEED

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control.h"
#include "device/accelerator.h"
#include "device/network_builder.h"
#include "device_cuda/add_two.h"
#include "nccl_race_scenario.h"

namespace {

using namespace lockstep;
using namespace lockstep::device;

constexpr std::int64_t count = 1024;

/// Numbers in device memory, written before anything else happens.
DeviceArray<float> ones(Accelerator& accelerator, Stream& stream) {
  auto array = accelerator.make_array<float>(count);
  const auto pinned = accelerator.make_pinned<float>(count);
  for (float& value : pinned.span()) value = 1;
  copy_in(stream, array.span(), pinned.span());
  stream.synchronize();
  return array;
}

/// One stream's result is another's input.
void streams(Accelerator& accelerator, bool sound) {
  const auto a = accelerator.make_stream();
  const auto b = accelerator.make_stream();
  const auto x = ones(accelerator, *a);
  const auto y = accelerator.make_array<float>(count);
  testing::add(accelerator, *a, x.span(), x.span(), y.span());
  if (sound) b->wait_for(*a);
  testing::add(accelerator, *b, y.span(), y.span(), y.span());
  a->synchronize();
  b->synchronize();
}

/// Another stream is made to wait, but before the work that it needs is queued.
void early_wait(Accelerator& accelerator, bool sound) {
  const auto a = accelerator.make_stream();
  const auto b = accelerator.make_stream();
  const auto x = ones(accelerator, *a);
  const auto y = accelerator.make_array<float>(count);
  if (!sound) b->wait_for(*a);
  testing::add(accelerator, *a, x.span(), x.span(), y.span());
  if (sound) b->wait_for(*a);
  b->copy(x.span().data, y.span().data, y.span().bytes());
  a->synchronize();
  b->synchronize();
}

/// The host reads what a stream copies to it.
void read_back(Accelerator& accelerator, bool sound) {
  const auto stream = accelerator.make_stream();
  const auto x = ones(accelerator, *stream);
  const auto pinned = accelerator.make_pinned<float>(count);
  copy_out(*stream, pinned.span(), x.span());
  if (sound) stream->synchronize();
  std::printf("%g\n", static_cast<double>(pinned.span()[1]));
  stream->synchronize();
}

/// The host fills a buffer again that a stream copies from.
void refill(Accelerator& accelerator, bool sound) {
  const auto stream = accelerator.make_stream();
  const auto x = ones(accelerator, *stream);
  const auto pinned = accelerator.make_pinned<float>(count);
  for (float& value : pinned.span()) value = 2;
  copy_in(*stream, x.span(), pinned.span());
  if (sound) stream->synchronize();
  for (float& value : pinned.span()) value = 3;
  stream->synchronize();
}

/// Memory is given back.
void release(Accelerator& accelerator, bool sound) {
  const auto stream = accelerator.make_stream();
  const auto x = ones(accelerator, *stream);
  auto y = std::make_unique<DeviceArray<float>>(accelerator.make_array<float>(count));
  testing::add(accelerator, *stream, x.span(), x.span(), y->span());
  if (sound) stream->synchronize();
  y.reset();
  stream->synchronize();
}

/// Branches of a graph write to the same memory, or each to its own.
void graph(Accelerator& accelerator, bool sound) {
  const auto stream = accelerator.make_stream();
  const auto branch = accelerator.make_stream();
  const auto x = ones(accelerator, *stream);
  const auto y = ones(accelerator, *stream);
  const auto z = ones(accelerator, *stream);
  const auto recorded = stream->capture([&] {
    branch->wait_for(*stream);
    testing::add(accelerator, *branch, x.span(), x.span(), y.span());
    testing::add(accelerator, *stream, x.span(), x.span(), sound ? z.span() : y.span());
    stream->wait_for(*branch);
    testing::add(accelerator, *stream, y.span(), z.span(), z.span());
  });
  for (int launch = 0; launch < 3; ++launch) recorded->launch(*stream);
  stream->synchronize();
}

/// Two shards of a batch side by side, then the mean of their gradients and an update, in one graph that is
/// used for several steps. Broken: both write to one gradient.
void train(Accelerator& accelerator, bool sound) {
  testing::NetworkBuilder builder({1, 8, 8});
  const Network network = builder.conv(3, 3).relu().max_pool(2).flatten().dense(5).build();
  const std::int64_t slab = network.parameters.slab_size();
  const auto plan = accelerator.plan(network, 2, Mode::training, "");
  const auto stream = accelerator.make_stream();
  const auto branch = accelerator.make_stream();
  const auto weights = accelerator.make_array<float>(slab);
  const auto velocity = accelerator.make_array<float>(slab);
  const auto mean = accelerator.make_array<float>(slab);
  const auto images = accelerator.make_array<float>(4 * 64);
  const auto labels = accelerator.make_array<std::int32_t>(4);
  const auto rows = accelerator.make_array<std::int64_t>(4);
  const auto epoch = accelerator.make_array<std::int64_t>(1);
  const auto totals = accelerator.make_array<Totals>(2);
  const auto flags = accelerator.make_array<std::uint32_t>(1);
  const auto arguments = accelerator.make_array<UpdateArguments>(1);
  const auto gradient = accelerator.make_array<float>(2 * slab);
  stream->clear(weights.span().data, weights.span().bytes());
  stream->clear(velocity.span().data, velocity.span().bytes());
  stream->clear(images.span().data, images.span().bytes());
  stream->clear(labels.span().data, labels.span().bytes());
  stream->clear(rows.span().data, rows.span().bytes());
  stream->clear(epoch.span().data, epoch.span().bytes());
  stream->clear(flags.span().data, flags.span().bytes());
  stream->clear(arguments.span().data, arguments.span().bytes());
  const std::unique_ptr<DeviceRunner> runners[] = {plan->make_runner(), plan->make_runner()};
  const auto queue_shard = [&](Stream& on, int shard) {
    runners[shard]->train(on,
                          {images.span().subspan(shard * 128, 128), labels.span().subspan(shard * 2, 2),
                           rows.span().subspan(shard * 2, 2), epoch.span()},
                          weights.span(), gradient.span().subspan(sound ? shard * slab : 0, slab),
                          totals.span().subspan(shard, 1));
  };
  const std::vector<DeviceSpan<const float>> partials = {gradient.span().subspan(0, slab),
                                                         gradient.span().subspan(slab, slab)};
  const std::vector<TreeAddition> additions = {{0, 1}};
  const auto step = stream->capture([&] {
    branch->wait_for(*stream);
    queue_shard(*stream, 0);
    queue_shard(*branch, 1);
    stream->wait_for(*branch);
    accelerator.mean(*stream, partials, additions, arguments.span(), mean.span());
    accelerator.sgd_update(*stream, arguments.span(), weights.span(), mean.span(), velocity.span(), true,
                           flags.span());
  });
  for (int launch = 0; launch < 3; ++launch) step->launch(*stream);
  stream->synchronize();
}

/// A collective's result is another stream's input.
void all_reduce(Accelerator& /*accelerator*/, bool sound) {
  standin::all_reduce_scenario(sound);
}

using Scenario = void (*)(Accelerator&, bool);

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string_view, Scenario> scenarios = {
      {"streams", streams}, {"early_wait", early_wait}, {"read_back", read_back}, {"refill", refill},
      {"release", release}, {"graph", graph},           {"train", train},         {"all_reduce", all_reduce}};
  if (argc != 4 || !scenarios.contains(argv[1])) return 2;
  standin::configure("seed=" + std::string(argv[3]));
  const auto accelerator = make_accelerator({});
  scenarios.at(argv[1])(*accelerator, argv[2] == std::string_view("sound"));
  return 0;
}
