#include "race_detector.h"

namespace lockstep::standin {

struct Fiber::Context {};

Fiber::Fiber() = default;
Fiber::~Fiber() = default;

void Fiber::run(const std::function<void()>& work) {
  work();
}

void release(const void* /*at*/) {}
void acquire(const void* /*at*/) {}

Unwatched::Unwatched() = default;
Unwatched::~Unwatched() = default;

bool device_memory_is_hidden() {
  return true;
}

}  // namespace lockstep::standin
