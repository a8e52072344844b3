// Compiled once for each instruction set, with OWN_LOOPS (sse2, avx2, avx512) and OWN_LOOPS_TARGET, as the
// compiler calls it. In the program the loader picks one of the same three, which leaves the others untested.
#include "own_loops.h"

#include <bit>
#include <cmath>

#include "base/portable_math.h"

#define LOCKSTEP_MULTIVERSION __attribute__((target(OWN_LOOPS_TARGET)))
#define cpu OWN_LOOPS  // a namespace of its own
#include "device/cpu/elementwise.cpp"
#undef cpu

#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)

namespace lockstep::testing {

OwnLoops JOIN(own_loops_, OWN_LOOPS)() {
  namespace loops = device::OWN_LOOPS;
  return {.name = OWN_LOOPS_TARGET,
          .available = __builtin_cpu_supports(OWN_LOOPS_TARGET) != 0,
          .relu_forward = loops::relu_forward,
          .tanh_forward = loops::tanh_forward,
          .sigmoid_forward = loops::sigmoid_forward,
          .relu_backward = loops::relu_backward,
          .tanh_backward = loops::tanh_backward,
          .sigmoid_backward = loops::sigmoid_backward,
          .sum_rows = loops::sum_rows,
          .drop = loops::drop,
          .sgd = loops::sgd,
          .adamw = loops::adamw};
}

}  // namespace lockstep::testing
