#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>
#include <type_traits>

namespace lockstep {
namespace {

template <class T>
void expect_type(DType type, std::string_view name) {
  EXPECT_EQ(size_of(type), sizeof(T)) << name;
  EXPECT_EQ(name_of(type), name);
  const bool matches =
      with_type(type, [](auto value) { return value == 0 && std::is_same_v<decltype(value), T>; });
  EXPECT_TRUE(matches) << name;
}

TEST(DType, NamesSizesAndTypesBelongTogether) {
  expect_type<float>(DType::f32, "f32");
  expect_type<double>(DType::f64, "f64");
  expect_type<std::uint8_t>(DType::u8, "u8");
  expect_type<std::int8_t>(DType::i8, "i8");
  expect_type<std::uint16_t>(DType::u16, "u16");
  expect_type<std::int16_t>(DType::i16, "i16");
  expect_type<std::uint32_t>(DType::u32, "u32");
  expect_type<std::int32_t>(DType::i32, "i32");
  expect_type<std::uint64_t>(DType::u64, "u64");
  expect_type<std::int64_t>(DType::i64, "i64");
}

}  // namespace
}  // namespace lockstep
