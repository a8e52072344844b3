#pragma once

#include <span>
#include <vector>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// A sum over a tree, for a machine with a stack: for each term, in this order, partial sum `partial` is
/// pushed, and then so many times the upper two of the stack give way to their sum.
struct SumTerm {
  int partial = 0;
  int additions = 0;
  friend bool operator==(const SumTerm&, const SumTerm&) = default;
};

struct SumProgram {
  std::vector<SumTerm> terms;
  int depth = 0;  ///< of the stack, at most
};

/// Of `partials` partial sums added as `additions` say, each of them once. IEEE additions commute, so that
/// which of two is pushed first does not matter: the one that needs more of the stack, which keeps it at no
/// more than 1 + log2(partials).
SumProgram make_sum_program(int partials, std::span<const TreeAddition> additions);

}  // namespace lockstep::device::cuda
