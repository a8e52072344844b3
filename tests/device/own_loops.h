#pragma once

#include "device/backend.h"

namespace lockstep::testing {

/// The loops of device/cpu/elementwise.cpp as they are compiled for one instruction set.
struct OwnLoops {
  const char* name;
  bool available;  ///< this processor can run them
  void (*relu_forward)(const float*, float*, std::int64_t);
  void (*tanh_forward)(const float*, float*, std::int64_t);
  void (*sigmoid_forward)(const float*, float*, std::int64_t);
  void (*relu_backward)(const float*, float*, std::int64_t);
  void (*tanh_backward)(const float*, float*, std::int64_t);
  void (*sigmoid_backward)(const float*, float*, std::int64_t);
  void (*sum_rows)(const float*, std::int64_t, std::int64_t, float*);
  void (*drop)(const float*, const std::uint8_t*, float, float*, std::int64_t);
  bool (*sgd)(const device::SgdArguments&, float*, const float*, float*, std::int64_t);
  bool (*adamw)(const device::AdamWArguments&, float*, const float*, float*, float*, std::int64_t);
};

OwnLoops own_loops_sse2();
OwnLoops own_loops_avx2();
OwnLoops own_loops_avx512();

}  // namespace lockstep::testing
