#pragma once

#include <cstdint>
#include <span>

#include "base/philox.h"
#include "config/experiment.h"

namespace lockstep::nn {

/// How many inputs reach one output of a layer, and how many outputs one input reaches. dense: in, out.
/// conv2d: channels · kernel height · kernel width, of in- and output channels.
struct Fans {
  double in = 0;
  double out = 0;
};

/// Fills a tensor; element i is a function of `init`, `fans`, `key` and i alone, with the same bits on every
/// machine.
///
/// he_*: variance 2 / fan_in (K. He et al., "Delving deep into rectifiers", ICCV 2015, for layers before a
/// relu). glorot_*: variance 2 / (fan_in + fan_out) (X. Glorot and Y. Bengio, "Understanding the difficulty
/// of training deep feedforward neural networks", AISTATS 2010). The uniform ones have the limit √3 ·
/// standard deviation; normal ones are not truncated.
void fill(const config::Init& init, Fans fans, const RandomKey& key, std::span<float> values);

}  // namespace lockstep::nn
