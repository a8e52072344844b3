#include <gtest/gtest.h>

#include <cstring>

#include "device_cuda/standin_device.h"

namespace lockstep::testing {
namespace {

constexpr std::int64_t rows = 7;
constexpr float scale = 1 / 255.0F;

/// Any value of the type, for integers; finite ones of many magnitudes, for floats.
template <class T>
std::vector<T> stored_values(std::int64_t count) {
  if constexpr (std::is_floating_point_v<T>) {
    const auto floats = random_floats(count, 5);
    std::vector<T> values;
    for (const float value : floats) values.push_back(static_cast<T>(value) * static_cast<T>(1.1));
    return values;
  } else {
    std::mt19937_64 random(6);
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& value : values) value = static_cast<T>(random() >> (random() % 64));
    return values;
  }
}

class Gather : public ::testing::TestWithParam<std::tuple<DType, std::int64_t>> {};

TEST_P(Gather, converts_and_scales_like_the_processor) {
  const auto [type, size] = GetParam();
  const StandinDevice device;
  with_type(type, [&, size = size, type = type]<class T>(T) {
    const std::vector<T> values = stored_values<T>(rows * size);
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    const auto images = device.upload(bytes);
    const auto labels = device.upload(std::vector<std::int32_t>{10, 11, 12, 13, 14, 15, 16});
    const std::vector<std::int64_t> positions = {6, 0, 3, 3, 5};
    const auto on_device = device.upload(positions);
    const auto gathered = device->make_array<float>(std::ssize(positions) * size);
    const auto gathered_labels = device->make_array<std::int32_t>(std::ssize(positions));

    device->gather(device.stream(), {images.span(), labels.span(), type, Shape{1, size, 1}}, on_device.span(),
                   scale, gathered.span(), gathered_labels.span());

    std::vector<float> expected;
    for (const std::int64_t position : positions)
      for (std::int64_t i = 0; i < size; ++i)
        expected.push_back(static_cast<float>(values[static_cast<std::size_t>(position * size + i)]) * scale);
    EXPECT_EQ(bits(device.download(gathered)), bits(expected));
    EXPECT_EQ(device.download(gathered_labels), (std::vector<std::int32_t>{16, 10, 13, 13, 15}));
  });
}

// Less than a block has threads, a picture of MNIST, exactly one piece of a sample, and pieces and a rest.
INSTANTIATE_TEST_SUITE_P(All, Gather,
                         ::testing::Combine(::testing::Values(DType::f32, DType::f64, DType::u8, DType::i8,
                                                              DType::u16, DType::i16, DType::u32, DType::i32,
                                                              DType::u64, DType::i64),
                                            ::testing::Values(1, 784, 4096, 8193)),
                         [](const auto& test) {
                           return std::string(name_of(std::get<0>(test.param))) + "_" +
                                  std::to_string(std::get<1>(test.param));
                         });

TEST(Gather, reads_positions_when_the_graph_runs) {
  const StandinDevice device;
  const auto images = device.upload(std::vector<std::byte>{std::byte{1}, std::byte{2}, std::byte{3}});
  const auto labels = device.upload(std::vector<std::int32_t>{4, 5, 6});
  const auto positions = device.upload(std::vector<std::int64_t>{0, 0});
  const auto gathered = device->make_array<float>(2);
  const auto gathered_labels = device->make_array<std::int32_t>(2);
  const auto graph = device.stream().capture([&] {
    device->gather(device.stream(), {images.span(), labels.span(), DType::u8, Shape{1}}, positions.span(), 2,
                   gathered.span(), gathered_labels.span());
  });
  device.store(positions, {2, 1});
  graph->launch(device.stream());
  EXPECT_EQ(device.download(gathered), (std::vector<float>{6, 4}));
  EXPECT_EQ(device.download(gathered_labels), (std::vector<std::int32_t>{6, 5}));
}

}  // namespace
}  // namespace lockstep::testing
