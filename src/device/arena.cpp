#include "device/arena.h"

#include <algorithm>
#include <numeric>

namespace lockstep::device {

int Arena::reserve(std::int64_t bytes, int first, int last) {
  buffers_.push_back({(bytes + alignment_ - 1) / alignment_ * alignment_, first, last, 0});
  return static_cast<int>(buffers_.size()) - 1;
}

void Arena::extend(int index, int time) {
  Buffer& buffer = buffers_[static_cast<std::size_t>(index)];
  buffer.first = std::min(buffer.first, time);
  buffer.last = std::max(buffer.last, time);
}

void Arena::lay_out() {
  std::vector<std::size_t> order(buffers_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [this](std::size_t left, std::size_t right) {
    return buffers_[left].bytes > buffers_[right].bytes;
  });
  std::vector<const Buffer*> placed;  // by offset
  for (const std::size_t index : order) {
    Buffer& buffer = buffers_[index];
    for (const Buffer* other : placed) {
      const bool together = other->first <= buffer.last && buffer.first <= other->last;
      const bool collide =
          other->offset < buffer.offset + buffer.bytes && buffer.offset < other->offset + other->bytes;
      if (together && collide) buffer.offset = other->offset + other->bytes;
    }
    placed.insert(std::upper_bound(
                      placed.begin(), placed.end(), &buffer,
                      [](const Buffer* left, const Buffer* right) { return left->offset < right->offset; }),
                  &buffer);
    bytes_ = std::max(bytes_, buffer.offset + buffer.bytes);
  }
}

std::int64_t Arena::offset(int index) const {
  return buffers_[static_cast<std::size_t>(index)].offset;
}

}  // namespace lockstep::device
