#pragma once

namespace lockstep::nn {

/// The number below which a standard normal variable falls with probability p, within 1e-15 of it relatively.
/// Requires 0 < p < 1.
///
/// M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied Statistics 37
/// (1988) 477–484, routine PPND16. Its logarithm is base/portable_math.h's, so its bits are the same on every
/// processor.
double normal_quantile(double p);

}  // namespace lockstep::nn
