#include "train/device_engine.h"

#include <algorithm>

#include "base/check.h"

namespace lockstep::train {

DeviceEngine::DeviceEngine(device::Accelerator& accelerator, const device::Network& network,
                           device::Mode mode, std::span<const std::int64_t> samples,
                           const device::PlanChoices& choices, std::int64_t pieces, std::int64_t branches,
                           std::int64_t room)
    : mode_(mode) {
  std::int64_t bytes_of_one = 1;  // whose runners share a lane
  for (const std::int64_t size : samples) {
    const auto chosen = choices.find({mode, size});
    plans_[size] = accelerator.plan(network, size, mode, chosen == choices.end() ? "" : chosen->second);
    bytes_of_one = std::max(bytes_of_one, plans_[size]->runner_bytes());
  }
  const std::int64_t most = branches > 0 ? branches : room / 2 / bytes_of_one;
  const std::int64_t count = std::clamp<std::int64_t>(most, 1, pieces);
  for (std::int64_t i = 0; i < count; ++i) {
    Branch branch;
    if (count > 1) branch.stream = accelerator.make_stream();
    const auto lane = accelerator.make_lane();
    for (const auto& [size, plan] : plans_) branch.runners[size] = plan->make_runner(lane);
    branches_.push_back(std::move(branch));
  }
}

void DeviceEngine::queue(device::Stream& stream, DeviceSamples& samples, std::span<const std::int64_t> counts,
                         device::DeviceSpan<const float> weights, const Results& results) {
  for (const Branch& branch : branches_)
    if (branch.stream) branch.stream->wait_for(stream);
  for (std::size_t piece = 0; piece < counts.size(); ++piece) {
    Branch& branch = branches_[piece % branches_.size()];
    const bool training = mode_ == device::Mode::training;
    queue_piece(branch.stream ? *branch.stream : stream, branch, samples, piece, counts[piece], weights,
                training ? results.gradients[piece] : device::DeviceSpan<float>(),
                results.totals.subspan(static_cast<std::int64_t>(piece), 1));
  }
  for (const Branch& branch : branches_)
    if (branch.stream) stream.wait_for(*branch.stream);
}

void DeviceEngine::queue_piece(device::Stream& stream, Branch& branch, DeviceSamples& samples,
                               std::size_t piece, std::int64_t count, device::DeviceSpan<const float> weights,
                               device::DeviceSpan<float> gradient,
                               device::DeviceSpan<device::Totals> totals) const {
  if (count == 0) {
    stream.clear(gradient.data, gradient.bytes());
    stream.clear(totals.data, totals.bytes());
    return;
  }
  device::DeviceRunner& runner = runner_of(branch, count);
  const device::DeviceShard shard = samples.queue_piece(stream, piece);
  if (mode_ == device::Mode::training)
    runner.train(stream, shard, weights, gradient, totals);
  else
    runner.evaluate(stream, shard, weights, totals);
}

device::DeviceRunner& DeviceEngine::runner_of(const Branch& branch, std::int64_t count) {
  const auto runner = branch.runners.find(count);
  check(runner != branch.runners.end(), "every size of a piece was planned");
  return *runner->second;
}

void DeviceEngine::queue_forward(device::Stream& stream, DeviceSamples& samples, std::int64_t count,
                                 device::DeviceSpan<const float> weights,
                                 device::DeviceSpan<device::Totals> totals) {
  if (count == 0) return stream.clear(totals.data, totals.bytes());
  runner_of(branches_.front(), count).forward(stream, samples.queue_piece(stream, 0), weights, totals);
}

void DeviceEngine::queue_backward(device::Stream& stream, const DeviceSamples& samples, std::int64_t count,
                                  device::DeviceSpan<const float> weights, device::DeviceSpan<float> gradient,
                                  const device::DeviceRunner::Finished& finished) {
  if (count > 0)
    return runner_of(branches_.front(), count)
        .backward(stream, samples.piece(0), weights, gradient, finished);
  stream.clear(gradient.data, gradient.bytes());
  finished(gradient.count);
}

void DeviceEngine::synchronize() {
  for (const Branch& branch : branches_)
    if (branch.stream) branch.stream->synchronize();
}

}  // namespace lockstep::train
