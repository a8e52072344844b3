#pragma once

#include <cstdint>
#include <vector>

namespace lockstep::device {

/// Lays buffers out in one run of bytes. Buffers that are needed at the same time lie apart; others may share
/// their place. Times are the steps of one pass: a block's forward, the loss, a block's backward.
class Arena {
 public:
  explicit Arena(std::int64_t alignment = 64) : alignment_(alignment) {}
  /// A buffer needed from time `first` to time `last`, both included. Returns its index.
  int reserve(std::int64_t bytes, int first, int last);
  /// Makes the buffer's life reach to `time` as well.
  void extend(int index, int time);
  /// Chooses the places, largest buffer first, each at the lowest offset that is free throughout its life.
  void lay_out();

  [[nodiscard]] std::int64_t offset(int index) const;  ///< after lay_out(); a multiple of the alignment
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  struct Buffer {
    std::int64_t bytes = 0;
    int first = 0, last = 0;
    std::int64_t offset = 0;
  };
  std::int64_t alignment_;
  std::vector<Buffer> buffers_;
  std::int64_t bytes_ = 0;
};

}  // namespace lockstep::device
