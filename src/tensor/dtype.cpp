#include "tensor/dtype.h"

#include <array>

namespace lockstep {

std::size_t size_of(DType type) {
  return with_type(type, [](auto value) { return sizeof(value); });
}

std::string_view name_of(DType type) {
  constexpr std::array<std::string_view, 10> names = {"f32", "f64", "u8",  "i8",  "u16",
                                                      "i16", "u32", "i32", "u64", "i64"};
  return names[static_cast<std::size_t>(type)];
}

}  // namespace lockstep
