#include "device_cuda/device_training.h"

#include "base/error.h"

namespace lockstep::testing {

using namespace device;

DeviceTraining::DeviceTraining(const StandinDevice& device, const Network& network, std::int64_t samples,
                               const std::string& choices)
    : device_(device),
      plan_(device->plan(network, samples, Mode::training, choices)),
      images_(device->make_array<float>(samples * network.input.count())),
      weights_(device.upload(weights_of(network))),
      gradient_(device->make_array<float>(network.parameters.slab_size())),
      labels_(device->make_array<std::int32_t>(samples)),
      rows_(device->make_array<std::int64_t>(samples)),
      epoch_(device->make_array<std::int64_t>(1)),
      totals_(device->make_array<Totals>(1)),
      runner_(plan_->make_runner()) {
  load(Shard(network, samples, 5), 3);
}

DeviceTraining::~DeviceTraining() {
  try {
    device_.stream().synchronize();
  } catch (const Error&) {
    return;  // it has failed, as the test wants it to
  }
}

void DeviceTraining::load(const Shard& shard, std::int64_t epoch) {
  device_.store(images_, shard.images);
  device_.store(labels_, shard.labels);
  device_.store(rows_, shard.rows);
  device_.store(epoch_, std::vector<std::int64_t>{epoch});
}

DeviceShard DeviceTraining::shard() const {
  return {.images = images_.span(), .labels = labels_.span(), .rows = rows_.span(), .epoch = epoch_.span()};
}

void DeviceTraining::queue(Stream& stream) {
  runner_->train(stream, shard(), weights_.span(), gradient_.span(), totals_.span());
}

void DeviceTraining::queue_halves(Stream& stream, const DeviceRunner::Finished& finished) {
  runner_->forward(stream, shard(), weights_.span(), totals_.span());
  runner_->backward(stream, shard(), weights_.span(), gradient_.span(), finished);
}

TrainedShard DeviceTraining::result() const {
  const Totals totals = device_.download(totals_)[0];
  return {bits(device_.download(gradient_)), std::bit_cast<std::uint64_t>(totals.loss), totals.correct};
}

TrainedShard DeviceTraining::train() {
  queue(device_.stream());
  device_.stream().synchronize();
  return result();
}

}  // namespace lockstep::testing
