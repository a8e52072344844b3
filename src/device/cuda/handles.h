#pragma once

#include <cuda_runtime.h>

#include "base/unique_handle.h"
#include "device/cuda/error.h"

/// CUDA's handles, owned.
namespace lockstep::device::cuda {

struct StreamTraits {
  using Type = cudaStream_t;
  static Type null() { return nullptr; }
  static void close(Type stream) noexcept { note(cudaStreamDestroy(stream), "cudaStreamDestroy"); }
};
using StreamHandle = UniqueHandle<StreamTraits>;

struct EventTraits {
  using Type = cudaEvent_t;
  static Type null() { return nullptr; }
  static void close(Type event) noexcept { note(cudaEventDestroy(event), "cudaEventDestroy"); }
};
using EventHandle = UniqueHandle<EventTraits>;

struct GraphTraits {
  using Type = cudaGraph_t;
  static Type null() { return nullptr; }
  static void close(Type graph) noexcept { note(cudaGraphDestroy(graph), "cudaGraphDestroy"); }
};
using GraphHandle = UniqueHandle<GraphTraits>;

struct GraphExecTraits {
  using Type = cudaGraphExec_t;
  static Type null() { return nullptr; }
  static void close(Type exec) noexcept { note(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy"); }
};
using GraphExec = UniqueHandle<GraphExecTraits>;

}  // namespace lockstep::device::cuda
