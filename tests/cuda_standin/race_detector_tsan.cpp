#include <sanitizer/tsan_interface.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>

#include "race_detector.h"
#include "runtime.h"

// Part of the interface, but not in GCC's header.
extern "C" void __tsan_ignore_thread_begin();
extern "C" void __tsan_ignore_thread_end();

namespace lockstep::standin {

// A stack of its own, or one fiber's local variables would lie where another's were.
struct Fiber::Context {
  static constexpr std::size_t stack_bytes = 1 << 20;

  void* stack =
      mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void* fiber = __tsan_create_fiber(0);
  void* host_fiber = nullptr;
  ucontext_t own = {};
  ucontext_t host = {};
  const std::function<void()>* work = nullptr;

  Context() {
    if (stack == MAP_FAILED) violation("no memory for a stack");
    __tsan_set_fiber_name(fiber, "stream");
  }
  ~Context() {
    __tsan_destroy_fiber(fiber);
    munmap(stack, stack_bytes);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  static void enter(unsigned high, unsigned low) {
    auto* context = reinterpret_cast<Context*>(std::uintptr_t{high} << 32U | low);
    (*context->work)();
    __tsan_switch_to_fiber(context->host_fiber, __tsan_switch_to_fiber_no_sync);
    setcontext(&context->host);
  }
};

Fiber::Fiber() : context_(std::make_unique<Context>()) {}
Fiber::~Fiber() = default;

void Fiber::run(const std::function<void()>& work) {
  Context& context = *context_;
  context.work = &work;
  context.host_fiber = __tsan_get_current_fiber();
  getcontext(&context.own);
  context.own.uc_stack = {.ss_sp = context.stack, .ss_flags = 0, .ss_size = Context::stack_bytes};
  const auto address = reinterpret_cast<std::uintptr_t>(&context);
  makecontext(&context.own, reinterpret_cast<void (*)()>(&Context::enter), 2,
              static_cast<unsigned>(address >> 32U), static_cast<unsigned>(address));
  __tsan_switch_to_fiber(context.fiber, __tsan_switch_to_fiber_no_sync);
  swapcontext(&context.host, &context.own);
}

void release(const void* at) {
  __tsan_release(const_cast<void*>(at));
}
void acquire(const void* at) {
  __tsan_acquire(const_cast<void*>(at));
}

Unwatched::Unwatched() {
  __tsan_ignore_thread_begin();
}
Unwatched::~Unwatched() {
  __tsan_ignore_thread_end();
}

bool device_memory_is_hidden() {
  return false;
}

}  // namespace lockstep::standin
