#include "train/device_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/philox.h"
#include "data/augmentation.h"
#include "data/distorter.h"
#include "nn/init.h"
#include "tensor/parameters.h"
#include "train/slab_hash.h"

namespace lockstep::train {
namespace {

using device::Accelerator;
using device::DeviceArray;
using device::DeviceSpan;
using device::Stream;

constexpr std::int64_t blocks = 37;
constexpr std::int64_t count = blocks * Parameters::block;

/// Numbers to compute with; another stream gives others.
std::vector<float> numbers(std::uint32_t stream, double limit = 1) {
  std::vector<float> values(static_cast<std::size_t>(count));
  nn::fill(config::UniformInit{limit}, {}, RandomKey(1, Purpose::plan_check, stream), values);
  return values;
}

/// The host's side of a check: arrays go to the device and come back through page-locked memory.
class Bench {
 public:
  explicit Bench(Accelerator& accelerator) : accelerator_(accelerator), stream_(accelerator.make_stream()) {}

  Accelerator& accelerator() { return accelerator_; }
  Stream& stream() { return *stream_; }

  template <class T>
  DeviceArray<T> upload(std::span<const T> values) {
    auto array = accelerator_.make_array<T>(std::ssize(values));
    const auto pinned = accelerator_.make_pinned<T>(std::ssize(values));
    std::ranges::copy(values, pinned.span().begin());
    const device::Drain drain(*stream_);
    device::copy_in<T>(*stream_, array.span(), pinned.span());
    stream_->synchronize();
    return array;
  }
  DeviceArray<float> upload(const std::vector<float>& values) {
    return upload(std::span<const float>(values));
  }

  template <class T>
  std::vector<T> download(DeviceSpan<T> from) {
    const auto pinned = accelerator_.make_pinned<T>(from.count);
    const device::Drain drain(*stream_);
    device::copy_out<T>(*stream_, pinned.span(), from);
    stream_->synchronize();
    return {pinned.span().begin(), pinned.span().end()};
  }

 private:
  Accelerator& accelerator_;
  std::unique_ptr<Stream> stream_;
};

Check compare_bits(std::string name, std::span<const float> device, std::span<const float> host) {
  for (std::size_t i = 0; i < host.size(); ++i)
    if (std::bit_cast<std::uint32_t>(device[i]) != std::bit_cast<std::uint32_t>(host[i]))
      return {std::move(name), false,
              fmt::format("element {} is {}, and on the CPU {}", i, device[i], host[i])};
  return {std::move(name), true, "equal bits"};
}

Check check_copies(Bench& bench) {
  const std::vector<float> values = numbers(0);
  const auto from = bench.upload(values);
  const auto to = bench.accelerator().make_array<float>(count);
  const device::Drain drain(bench.stream());
  device::copy<float>(bench.stream(), to.span(), from.span());
  return compare_bits("copies", bench.download(to.span()), values);
}

Check check_mean(Bench& bench) {
  const std::vector<float> a = numbers(0);
  const std::vector<float> b = numbers(1);
  const std::vector<float> c = numbers(2);
  const std::vector<device::UpdateArguments> arguments{{.sgd = {}, .adamw = {}, .samples = 96}};
  const auto device_arguments = bench.upload(std::span<const device::UpdateArguments>(arguments));
  const auto mean = bench.accelerator().make_array<float>(count);
  const std::array arrays{bench.upload(a), bench.upload(b), bench.upload(c)};
  const std::array<DeviceSpan<const float>, 3> partials{arrays[0].span(), arrays[1].span(), arrays[2].span()};
  const std::array additions{device::TreeAddition{.into = 1, .from = 2},
                             device::TreeAddition{.into = 0, .from = 1}};
  const device::Drain drain(bench.stream());
  bench.accelerator().mean(bench.stream(), partials, additions, device_arguments.span(), mean.span());
  bench.accelerator().sum(bench.stream(), partials, additions, arrays[0].span());
  std::vector<float> expected(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) expected[i] = a[i] + (b[i] + c[i]);
  Check check = compare_bits("sum and mean over a tree", bench.download(arrays[0].span()), expected);
  for (float& value : expected) value /= 96;
  if (check.passed) check = compare_bits("sum and mean over a tree", bench.download(mean.span()), expected);
  return check;
}

Check check_sgd(Bench& bench, device::Backend& cpu, bool momentum) {
  const std::string name = momentum ? "SGD" : "SGD without momentum";
  std::vector<float> weights = numbers(0);
  const std::vector<float> gradient = numbers(1);
  std::vector<float> velocity = numbers(2);
  if (!momentum) velocity.clear();
  device::UpdateArguments arguments;
  arguments.sgd = {.learning_rate = 0.05F,
                   .momentum = momentum ? 0.9F : 0.0F,
                   .weight_decay = 0.01F,
                   .nesterov = momentum};
  const auto device_weights = bench.upload(weights);
  const auto device_gradient = bench.upload(gradient);
  const auto device_velocity = momentum ? bench.upload(velocity) : DeviceArray<float>();
  const auto device_arguments = bench.upload(std::span<const device::UpdateArguments>(&arguments, 1));
  const auto flags = bench.upload(std::span<const std::uint32_t>(std::vector<std::uint32_t>(blocks)));
  const device::Drain drain(bench.stream());
  bench.accelerator().sgd_update(bench.stream(), device_arguments.span(), device_weights.span(),
                                 device_gradient.span(), device_velocity.span(), momentum, flags.span());
  cpu.sgd_update(arguments.sgd, weights, gradient, velocity);
  Check check = compare_bits(name, bench.download(device_weights.span()), weights);
  if (check.passed && momentum) check = compare_bits(name, bench.download(device_velocity.span()), velocity);
  return check;
}

/// A NaN in one gradient, and nothing else, raises one flag.
Check check_flags(Bench& bench) {
  constexpr std::int64_t bad_block = 5;
  std::vector<float> gradient = numbers(1);
  gradient[bad_block * Parameters::block + 17] = std::numeric_limits<float>::quiet_NaN();
  const auto weights = bench.upload(numbers(0));
  const auto device_gradient = bench.upload(gradient);
  const device::UpdateArguments arguments;
  const auto device_arguments = bench.upload(std::span<const device::UpdateArguments>(&arguments, 1));
  const auto flags = bench.upload(std::span<const std::uint32_t>(std::vector<std::uint32_t>(blocks)));
  const device::Drain drain(bench.stream());
  bench.accelerator().sgd_update(bench.stream(), device_arguments.span(), weights.span(),
                                 device_gradient.span(), {}, false, flags.span());
  const std::vector<std::uint32_t> found = bench.download(flags.span());
  for (std::int64_t block = 0; block < blocks; ++block)
    if ((found[static_cast<std::size_t>(block)] != 0) != (block == bad_block))
      return {"flags of what is not finite", false, fmt::format("wrong in block {}", block)};
  return {"flags of what is not finite", true, "as they should be"};
}

Check check_adamw(Bench& bench, device::Backend& cpu) {
  std::vector<float> weights = numbers(0);
  const std::vector<float> gradient = numbers(1);
  std::vector<float> moment1 = numbers(2);
  std::vector<float> moment2 = numbers(3);
  for (float& moment : moment2) moment = std::fabs(moment);
  device::UpdateArguments arguments;
  arguments.adamw = {.learning_rate = 0.001F,
                     .beta1 = 0.9F,
                     .beta2 = 0.999F,
                     .epsilon = 1e-8F,
                     .weight_decay = 0.01F,
                     .correction1 = 1.5F,
                     .correction2 = 20.0F};
  const auto device_weights = bench.upload(weights);
  const auto device_gradient = bench.upload(gradient);
  const auto device_moment1 = bench.upload(moment1);
  const auto device_moment2 = bench.upload(moment2);
  const auto device_arguments = bench.upload(std::span<const device::UpdateArguments>(&arguments, 1));
  const auto flags = bench.upload(std::span<const std::uint32_t>(std::vector<std::uint32_t>(blocks)));
  const device::Drain drain(bench.stream());
  bench.accelerator().adamw_update(bench.stream(), device_arguments.span(), device_weights.span(),
                                   device_gradient.span(), device_moment1.span(), device_moment2.span(),
                                   flags.span());
  cpu.adamw_update(arguments.adamw, weights, gradient, moment1, moment2);
  Check check = compare_bits("AdamW", bench.download(device_weights.span()), weights);
  if (check.passed) check = compare_bits("AdamW", bench.download(device_moment1.span()), moment1);
  if (check.passed) check = compare_bits("AdamW", bench.download(device_moment2.span()), moment2);
  return check;
}

Check check_hashes(Bench& bench) {
  const std::vector<float> values = numbers(0);
  const auto device_values = bench.upload(values);
  const auto hashes = bench.accelerator().make_array<std::uint64_t>(blocks);
  const device::Drain drain(bench.stream());
  bench.accelerator().hash_blocks(bench.stream(), device_values.span(), block_seed(SlabKind::weights, 0),
                                  hashes.span());
  const std::vector<std::uint64_t> found = bench.download(hashes.span());
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t first = block * Parameters::block;
    const auto part = std::span(values).subspan(static_cast<std::size_t>(first), Parameters::block);
    if (found[static_cast<std::size_t>(block)] != slab_hash(SlabKind::weights, first, part))
      return {"hashes", false, fmt::format("that of block {} is not the CPU's", block)};
  }
  return {"hashes", true, "equal"};
}

/// Bytes as a data set.
class Pictures final : public data::Dataset {
 public:
  Pictures(const Shape& image, std::span<const std::byte> pixels) : pixels_(pixels) { info_.image = image; }
  [[nodiscard]] const data::DatasetInfo& info() const override { return info_; }
  [[nodiscard]] std::int64_t rows_kept() const override { return std::ssize(pixels_) / info_.image.count(); }
  [[nodiscard]] std::int64_t bytes_kept() const override { return std::ssize(pixels_); }
  void gather(std::int64_t row, float scale, std::span<float> out) const override {
    const auto first = static_cast<std::size_t>(row) * out.size();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(pixels_[first + i]) * scale;
  }
  [[nodiscard]] std::int32_t label(std::int64_t row) const override { return static_cast<std::int32_t>(row); }

 private:
  data::DatasetInfo info_;
  std::span<const std::byte> pixels_;
};

Check check_gather(Bench& bench, bool distorts) {
  constexpr std::int64_t rows = 50;
  const Shape image{3, 5, 7};
  std::vector<std::byte> pixels(static_cast<std::size_t>(rows * image.count()));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::byte>(i * 31 % 251);
  std::vector<std::int32_t> labels(rows);
  std::iota(labels.begin(), labels.end(), 0);
  const std::vector<std::int64_t> positions{7, 49, 0, 7, 23};
  std::vector<AffineMap> maps(positions.size());
  const data::Augmentation augmentation({.shift = 2, .rotate = 40, .shear = 0.2, .zoom = 0.3}, 1, image, "");
  if (distorts)
    for (std::size_t i = 0; i < maps.size(); ++i) maps[i] = augmentation.map(1, static_cast<std::int64_t>(i));
  const auto stored_images = bench.upload(std::span<const std::byte>(pixels));
  const auto stored_labels = bench.upload(std::span<const std::int32_t>(labels));
  const auto device_positions = bench.upload(std::span<const std::int64_t>(positions));
  const auto device_maps = bench.upload(std::span<const AffineMap>(maps));
  const auto images = bench.accelerator().make_array<float>(std::ssize(positions) * image.count());
  const auto found_labels = bench.accelerator().make_array<std::int32_t>(std::ssize(positions));
  const device::Drain drain(bench.stream());
  constexpr float scale = 1.0F / 255;
  bench.accelerator().gather(
      bench.stream(),
      {.images = stored_images.span(), .labels = stored_labels.span(), .type = DType::u8, .image = image},
      device_positions.span(), distorts ? device_maps.span() : DeviceSpan<AffineMap>{}, scale, images.span(),
      found_labels.span());
  const Pictures pictures(image, pixels);
  const auto size = static_cast<std::size_t>(image.count());
  std::vector<float> expected(positions.size() * size);
  data::Distorter distorter(image);
  for (std::size_t i = 0; i < positions.size(); ++i)
    distorter.gather(pictures, positions[i], scale, maps[i], std::span(expected).subspan(i * size, size));
  Check check = compare_bits(distorts ? "distortion of samples" : "gathering of samples",
                             bench.download(images.span()), expected);
  const std::vector<std::int32_t> got = bench.download(found_labels.span());
  for (std::size_t i = 0; i < positions.size() && check.passed; ++i)
    if (got[i] != positions[i]) check = {check.name, false, "another label"};
  return check;
}

}  // namespace

Check attempt(const std::string& name, const std::function<Check()>& check) {
  try {
    return check();
  } catch (const std::exception& error) {
    return {name, false, error.what()};
  }
}

void check_operations(Accelerator& accelerator, const TakeCheck& take) {
  const auto cpu = device::make_cpu_backend();
  const auto with_bench = [&](const std::string& name, const std::function<Check(Bench&)>& check) {
    take(attempt(name, [&] {
      Bench bench(accelerator);
      return check(bench);
    }));
  };
  with_bench("copies", check_copies);
  with_bench("gathering of samples", [](Bench& bench) { return check_gather(bench, false); });
  with_bench("distortion of samples", [](Bench& bench) { return check_gather(bench, true); });
  with_bench("sum and mean over a tree", check_mean);
  with_bench("SGD", [&](Bench& bench) { return check_sgd(bench, *cpu, true); });
  with_bench("SGD without momentum", [&](Bench& bench) { return check_sgd(bench, *cpu, false); });
  with_bench("AdamW", [&](Bench& bench) { return check_adamw(bench, *cpu); });
  with_bench("flags of what is not finite", check_flags);
  with_bench("hashes", check_hashes);
}

}  // namespace lockstep::train
