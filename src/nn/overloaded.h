#pragma once

#include <utility>

namespace lockstep::nn {

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

/// One callable out of several, for std::visit: a kind of layer that none of them takes is a compile error.
template <class... Functions>
Overloaded<Functions...> overloaded(Functions... functions) {
  return {std::move(functions)...};
}

}  // namespace lockstep::nn
