#include "device/cuda/sum_program.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace lockstep::device::cuda {

SumProgram make_sum_program(int partials, std::span<const TreeAddition> additions) {
  check(partials > 0 && std::ssize(additions) == partials - 1,
        "all partial sums are added, each of them once");
  // The program of each sum that is still to be added to another. An empty one has been.
  std::vector<SumProgram> sums(static_cast<std::size_t>(partials));
  for (int i = 0; i < partials; ++i) sums[static_cast<std::size_t>(i)] = {{{i, 0}}, 1};
  for (const TreeAddition& addition : additions) {
    check(addition.into >= 0 && addition.into < partials && addition.from >= 0 && addition.from < partials &&
              addition.into != addition.from,
          "an addition is of two of the partial sums");
    SumProgram& into = sums[static_cast<std::size_t>(addition.into)];
    SumProgram from = std::exchange(sums[static_cast<std::size_t>(addition.from)], {});
    check(into.depth > 0 && from.depth > 0, "a partial sum is added to one other");
    if (from.depth > into.depth) std::swap(from, into);
    into.depth = std::max(into.depth, from.depth + 1);
    into.terms.insert(into.terms.end(), from.terms.begin(), from.terms.end());
    ++into.terms.back().additions;
  }
  check(sums.front().depth > 0, "the whole sum is left in partial sum 0");
  return std::move(sums.front());
}

}  // namespace lockstep::device::cuda
