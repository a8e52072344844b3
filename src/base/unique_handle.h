#pragma once

#include <utility>

namespace lockstep {

/// Owns a handle of a C library. Move-only.
///
/// Traits gives `Type`, `static Type null()` and `static void close(Type) noexcept`; close is called once,
/// and never for null(). A close that can fail reports it through log.h: destructors do not throw.
template <class Traits>
class UniqueHandle {
 public:
  using Type = typename Traits::Type;

  UniqueHandle() noexcept = default;
  explicit UniqueHandle(Type handle) noexcept : handle_(handle) {}
  UniqueHandle(UniqueHandle&& other) noexcept : handle_(other.release()) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;
  ~UniqueHandle() { reset(); }

  [[nodiscard]] Type get() const noexcept { return handle_; }
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != Traits::null(); }
  [[nodiscard]] Type release() noexcept { return std::exchange(handle_, Traits::null()); }
  void reset(Type handle = Traits::null()) noexcept {
    const Type old = std::exchange(handle_, handle);
    if (old != Traits::null()) Traits::close(old);
  }

 private:
  Type handle_ = Traits::null();
};

}  // namespace lockstep
