#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lockstep {

/// Element types of data sets and tensors.
enum class DType : std::uint8_t { f32, f64, u8, i8, u16, i16, u32, i32, u64, i64 };

/// Bytes of one element.
std::size_t size_of(DType type);

/// "f32", "u8", …
std::string_view name_of(DType type);

/// Calls `f` with a value-initialised object of the C++ type that `type` stands for, and returns its result.
template <class F>
decltype(auto) with_type(DType type, F&& f) {
  switch (type) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::i8:
      return f(std::int8_t{});
    case DType::u16:
      return f(std::uint16_t{});
    case DType::i16:
      return f(std::int16_t{});
    case DType::u32:
      return f(std::uint32_t{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::u64:
      return f(std::uint64_t{});
    case DType::i64:
      break;
  }
  return f(std::int64_t{});
}

}  // namespace lockstep
