#pragma once

namespace lockstep {

/// Multiply-adds, counted as two operations each, that so many threads together do in a second with nothing
/// else to do, in units of 10⁹: the best of several runs of some milliseconds with the widest vectors.
double fma_peak(int threads = 1);

}  // namespace lockstep
