#pragma once

namespace lockstep {

/// Multiply-adds, counted as two operations each, that one core does in a second with nothing else to do, in
/// units of 10⁹: the best of several short runs with the widest vectors.
double fma_peak();

}  // namespace lockstep
