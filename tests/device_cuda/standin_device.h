#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "control.h"
#include "device/accelerator.h"

namespace lockstep::testing {

/// An accelerator, on the stand-in or (cuda_hardware/) on a real GPU, with one stream, and arrays that go
/// there and back.
class StandinDevice {
 public:
  explicit StandinDevice(std::string_view settings = "", int index = 0)
      : accelerator_(make(settings, index)), stream_(accelerator_->make_stream()) {}

  [[nodiscard]] device::Accelerator& operator*() const { return *accelerator_; }
  [[nodiscard]] device::Accelerator* operator->() const { return accelerator_.get(); }
  [[nodiscard]] device::Stream& stream() const { return *stream_; }

  template <class T>
  [[nodiscard]] device::DeviceArray<T> upload(const std::vector<T>& values) const {
    auto array = accelerator_->make_array<T>(std::ssize(values));
    store(array, values);
    return array;
  }
  template <class T>
  void store(const device::DeviceArray<T>& array, const std::vector<T>& values) const {
    const auto pinned = accelerator_->make_pinned<T>(std::ssize(values));
    std::ranges::copy(values, pinned.span().begin());
    device::copy_in<T>(*stream_, array.span(), pinned.span());
    stream_->synchronize();
  }
  template <class T>
  [[nodiscard]] std::vector<T> download(const device::DeviceArray<T>& array) const {
    const auto pinned = accelerator_->make_pinned<T>(array.span().count);
    device::copy_out<T>(*stream_, pinned.span(), array.span());
    stream_->synchronize();
    return {pinned.span().begin(), pinned.span().end()};
  }

 private:
  static std::unique_ptr<device::Accelerator> make(std::string_view settings, int index) {
    standin::configure(settings);
    return device::make_accelerator({.index = index});
  }

  std::unique_ptr<device::Accelerator> accelerator_;
  std::unique_ptr<device::Stream> stream_;
};

/// Floats of many magnitudes and both signs.
inline std::vector<float> random_floats(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> mantissa;
  std::uniform_int_distribution<int> exponent(-20, 10);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = std::ldexp(mantissa(random), exponent(random));
  return values;
}

/// The bits, so that comparisons tell -0 from 0 and take NaN for equal to NaN: what bits one has that comes
/// of numbers is the processor's own affair. A signalling NaN comes of none: it is memory that was not
/// written.
inline std::vector<std::uint32_t> bits(std::span<const float> values) {
  constexpr std::uint32_t quiet = 0x7FC00000;
  std::vector<std::uint32_t> result;
  for (const float value : values) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    result.push_back((word & quiet) == quiet ? quiet : word);
  }
  return result;
}

}  // namespace lockstep::testing
