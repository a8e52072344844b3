#pragma once

#include <cstdint>

namespace lockstep::device::cpu::fused {

/// Hands out parts of a kernel's scratch memory, each on a cache line if the memory is; without memory, null,
/// and only counts.
class Scratch {
 public:
  explicit Scratch(float* memory) : memory_(memory) {}
  template <class T>
  T* take(std::int64_t count) {
    constexpr std::int64_t line = 64;
    float* const part = memory_ == nullptr ? nullptr : memory_ + floats_;
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
    floats_ += (bytes + line - 1) / line * (line / static_cast<std::int64_t>(sizeof(float)));
    return reinterpret_cast<T*>(part);
  }
  [[nodiscard]] std::int64_t floats() const { return floats_; }

 private:
  float* memory_;
  std::int64_t floats_ = 0;
};

/// Floats that a Workspace takes, whose parts come from the scratch memory that is its constructor's last
/// argument.
template <class Workspace, class... Arguments>
std::int64_t scratch_floats(const Arguments&... arguments) {
  Scratch scratch(nullptr);
  const Workspace workspace(arguments..., scratch);
  return scratch.floats();
}

}  // namespace lockstep::device::cpu::fused
