#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "device_cuda/standin_device.h"

namespace lockstep::testing {
namespace {

using device::DeviceSpan;
using device::TreeAddition;
using device::UpdateArguments;

struct Sum {
  std::vector<std::vector<float>> partials;
  std::vector<TreeAddition> additions;
};

/// Partial sums that are added in an order drawn at random.
Sum random_sum(int partials, std::int64_t count, unsigned seed) {
  Sum sum;
  for (int i = 0; i < partials; ++i)
    sum.partials.push_back(random_floats(count, seed + static_cast<unsigned>(i)));
  std::mt19937 random(seed);
  std::vector<int> left(static_cast<std::size_t>(partials));
  std::iota(left.begin(), left.end(), 0);
  while (left.size() > 1) {
    // The whole is left in partial sum 0, which so is never `from`.
    const std::size_t from = 1 + random() % (left.size() - 1);
    std::size_t into = random() % (left.size() - 1);
    if (into >= from) ++into;
    sum.additions.push_back({left[into], left[from]});
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(from));
  }
  return sum;
}

/// What the additions say, one after the other.
std::vector<float> reference_sum(Sum sum) {
  for (const TreeAddition& addition : sum.additions) {
    auto& into = sum.partials[static_cast<std::size_t>(addition.into)];
    std::ranges::transform(into, sum.partials[static_cast<std::size_t>(addition.from)], into.begin(),
                           std::plus<>());
  }
  return sum.partials.front();
}

std::vector<float> reference_mean(const Sum& sum, float samples) {
  std::vector<float> mean = reference_sum(sum);
  for (float& value : mean) value /= samples;
  return mean;
}

class OnDevice {
 public:
  OnDevice(const StandinDevice& device, const Sum& sum, float samples)
      : device_(device),
        additions_(sum.additions),
        arguments_(device.upload(std::vector<UpdateArguments>{{.sgd = {}, .adamw = {}, .samples = samples}})),
        mean_(device->make_array<float>(std::ssize(sum.partials.front()))) {
    std::vector<float> all;
    for (const auto& partial : sum.partials) all.insert(all.end(), partial.begin(), partial.end());
    partials_ = device.upload(all);
    const std::int64_t count = mean_.span().count;
    for (std::int64_t i = 0; i < std::ssize(sum.partials); ++i)
      spans_.emplace_back(partials_.span().subspan(i * count, count));
  }
  void queue() const { device_->mean(device_.stream(), spans_, additions_, arguments_.span(), mean_.span()); }
  /// Into partial sum `into`.
  void queue_sum(std::size_t into) const {
    const std::int64_t count = mean_.span().count;
    device_->sum(device_.stream(), spans_, additions_,
                 partials_.span().subspan(static_cast<std::int64_t>(into) * count, count));
  }
  void set_samples(float samples) const {
    device_.store(arguments_, {{.sgd = {}, .adamw = {}, .samples = samples}});
  }
  [[nodiscard]] std::vector<float> mean() const { return device_.download(mean_); }
  [[nodiscard]] std::vector<float> partials() const { return device_.download(partials_); }

 private:
  const StandinDevice& device_;
  std::vector<TreeAddition> additions_;
  device::DeviceArray<UpdateArguments> arguments_;
  device::DeviceArray<float> mean_;
  device::DeviceArray<float> partials_;  ///< one after the other
  std::vector<DeviceSpan<const float>> spans_;
};

TEST(Sum, may_take_the_place_of_any_of_its_terms) {
  const StandinDevice device;
  for (const int partials : {1, 2, 3, 33}) {
    for (const std::int64_t count : {0, 1, 255, 256, 1000}) {
      const Sum sum = random_sum(partials, count, static_cast<unsigned>(100 * partials));
      for (const int into : {0, partials / 2, partials - 1}) {
        const OnDevice on_device(device, sum, 1);
        on_device.queue_sum(static_cast<std::size_t>(into));
        Sum expected = sum;
        expected.partials[static_cast<std::size_t>(into)] = reference_sum(sum);
        std::vector<float> all;
        for (const auto& partial : expected.partials) all.insert(all.end(), partial.begin(), partial.end());
        EXPECT_EQ(bits(on_device.partials()), bits(all)) << partials << " of " << count << " into " << into;
      }
    }
  }
}

TEST(Mean, adds_as_it_is_told_and_divides_once) {
  const StandinDevice device;
  for (const int partials : {1, 2, 3, 5, 8, 31, 32, 33, 64}) {
    for (const std::int64_t count : {1, 256, 1000}) {
      const Sum sum = random_sum(partials, count, static_cast<unsigned>(100 * partials));
      const OnDevice on_device(device, sum, 96);
      on_device.queue();
      EXPECT_EQ(bits(on_device.mean()), bits(reference_mean(sum, 96))) << partials << " of " << count;
    }
  }
}

TEST(Mean, adds_as_many_as_its_limit_and_no_more) {
  const StandinDevice device;
  for (const int partials : {448, 449, 3584}) {
    const Sum sum = random_sum(partials, 3, 1);
    const OnDevice on_device(device, sum, 7);
    on_device.queue();
    EXPECT_EQ(bits(on_device.mean()), bits(reference_mean(sum, 7)));
  }
  const OnDevice too_many(device, random_sum(3585, 1, 1), 7);
  try {
    too_many.queue();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_config);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("adds up to 3584 partial sums, and this job has 3585"));
  }
}

TEST(Mean, divides_by_the_samples_of_the_step) {
  const StandinDevice device;
  const Sum sum = random_sum(4, 100, 9);
  const OnDevice on_device(device, sum, 128);
  const auto graph = device.stream().capture([&] { on_device.queue(); });
  for (const float samples : {128.0F, 96.0F}) {
    on_device.set_samples(samples);
    graph->launch(device.stream());
    EXPECT_EQ(bits(on_device.mean()), bits(reference_mean(sum, samples)));
  }
}

}  // namespace
}  // namespace lockstep::testing
