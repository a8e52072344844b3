#pragma once

#include <cstdint>
#include <string_view>

#include "config/experiment.h"
#include "nn/layers/place.h"

namespace lockstep::nn {

/// How a convolution's kernel or a pooling window moves along one axis. Every window covers at least one cell
/// of the input.
struct WindowAxis {
  std::int64_t in = 0, size = 0, stride = 0;
  std::int64_t pad_before = 0, pad_after = 0;
  std::int64_t out = 0;
};

struct Window {
  WindowAxis height, width;
};

/// Places a window on images of C × H × W. Error(bad_config) if the input is none, if the padded input is
/// smaller than the window, or if padding is not smaller than it. `noun` is what the window is called:
/// "kernel".
///
/// valid:   out = ⌊(in − size) / stride⌋ + 1, no padding
/// same:    out = ⌈in / stride⌉, max(0, (out − 1) · stride + size − in) cells of padding, the odd one at the
///          bottom or right (the rule of TensorFlow)
/// numbers: out = ⌊(in + before + after − size) / stride⌋ + 1
Window place_window(const Place& place, std::string_view noun, config::Extent2 size, config::Extent2 stride,
                    const config::Padding& padding);

}  // namespace lockstep::nn
