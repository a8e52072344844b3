#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <vector>

#include "data/augmentation.h"
#include "data/distorter.h"
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

/// As a data set.
template <class T>
class StoredValues : public data::Dataset {
 public:
  StoredValues(const Shape& image, const std::vector<T>& values) : values_(values) { info_.image = image; }
  [[nodiscard]] const data::DatasetInfo& info() const override { return info_; }
  [[nodiscard]] std::int64_t rows_kept() const override { return rows; }
  [[nodiscard]] std::int64_t bytes_kept() const override { return 0; }
  void gather(std::int64_t row, float factor, std::span<float> out) const override {
    const T* const from = values_.data() + row * info_.image.count();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(from[i]) * factor;
  }
  [[nodiscard]] std::int32_t label(std::int64_t /*row*/) const override { return 0; }

 private:
  data::DatasetInfo info_;
  const std::vector<T>& values_;
};

const std::vector<std::int32_t> stored_labels{10, 11, 12, 13, 14, 15, 16};
const std::vector<std::int64_t> positions{6, 0, 3, 3, 5};  // what is gathered of them

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

class Gather : public ::testing::TestWithParam<std::tuple<DType, std::int64_t>> {};

TEST_P(Gather, converts_and_scales_like_the_processor) {
  const auto [type, size] = GetParam();
  const StandinDevice device;
  with_type(type, [&, size = size, type = type]<class T>(T) {
    const std::vector<T> values = stored_values<T>(rows * size);
    const auto images = device.upload(bytes_of(values));
    const auto labels = device.upload(stored_labels);
    const auto on_device = device.upload(positions);
    const auto gathered = device->make_array<float>(std::ssize(positions) * size);
    const auto gathered_labels = device->make_array<std::int32_t>(std::ssize(positions));

    device->gather(device.stream(), {images.span(), labels.span(), type, Shape{1, size, 1}}, on_device.span(),
                   {}, scale, gathered.span(), gathered_labels.span());

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

/// The bits of data::Distorter, for maps that move whole pixels, and for any.
TEST(Gather, distorts_like_the_processor) {
  const Shape image{2, 37, 61};  // more than one piece of a sample
  const std::int64_t size = image.count();
  const StandinDevice device;
  for (const DType type : {DType::u8, DType::f32})
    with_type(type, [&]<class T>(T) {
      const std::vector<T> values = stored_values<T>(rows * size);
      const auto images = device.upload(bytes_of(values));
      const auto labels = device.upload(stored_labels);
      const std::vector<AffineMap> maps = {
          {},
          data::Augmentation({.shift = 5}, 1, image, "").map(1, 1),
          data::Augmentation({.shift = 5, .rotate = 30, .shear = 0.2, .zoom = 0.3}, 1, image, "").map(1, 2),
          data::Augmentation({.rotate = 180}, 1, image, "").map(1, 3),
          {.row = -100 * AffineMap::one}};
      const auto on_device = device.upload(positions);
      const auto device_maps = device.upload(maps);
      const auto gathered = device->make_array<float>(std::ssize(positions) * size);
      const auto gathered_labels = device->make_array<std::int32_t>(std::ssize(positions));

      device->gather(device.stream(), {images.span(), labels.span(), type, image}, on_device.span(),
                     device_maps.span(), scale, gathered.span(), gathered_labels.span());

      std::vector<float> expected(positions.size() * static_cast<std::size_t>(size));
      data::Distorter distorter(image);
      const StoredValues<T> dataset(image, values);
      for (std::size_t i = 0; i < positions.size(); ++i)
        distorter.gather(
            dataset, positions[i], scale, maps[i],
            std::span(expected).subspan(i * static_cast<std::size_t>(size), static_cast<std::size_t>(size)));
      EXPECT_EQ(bits(device.download(gathered)), bits(expected));
      EXPECT_EQ(device.download(gathered_labels), (std::vector<std::int32_t>{16, 10, 13, 13, 15}));
    });
}

TEST(Gather, reads_positions_when_the_graph_runs) {
  const StandinDevice device;
  const auto images = device.upload(std::vector<std::byte>{std::byte{1}, std::byte{2}, std::byte{3}});
  const auto labels = device.upload(std::vector<std::int32_t>{4, 5, 6});
  const auto positions = device.upload(std::vector<std::int64_t>{0, 0});
  const auto gathered = device->make_array<float>(2);
  const auto gathered_labels = device->make_array<std::int32_t>(2);
  const auto graph = device.stream().capture([&] {
    device->gather(device.stream(), {images.span(), labels.span(), DType::u8, Shape{1}}, positions.span(), {},
                   2, gathered.span(), gathered_labels.span());
  });
  device.store(positions, {2, 1});
  graph->launch(device.stream());
  EXPECT_EQ(device.download(gathered), (std::vector<float>{6, 4}));
  EXPECT_EQ(device.download(gathered_labels), (std::vector<std::int32_t>{6, 5}));
}

}  // namespace
}  // namespace lockstep::testing
