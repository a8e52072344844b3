#include "nn/layers/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace lockstep::nn {
namespace {

using Kind = config::Padding::Kind;

WindowAxis place_on_axis(WindowAxis axis, Kind padding) {
  if (padding == Kind::same) {
    axis.out = (axis.in + axis.stride - 1) / axis.stride;
    const std::int64_t total = std::max<std::int64_t>(0, (axis.out - 1) * axis.stride + axis.size - axis.in);
    axis.pad_before = total / 2;
    axis.pad_after = total - axis.pad_before;
  } else {
    axis.out = (axis.in + axis.pad_before + axis.pad_after - axis.size) / axis.stride + 1;
  }
  return axis;
}

/// The smallest input on which the window fits once; the paddings are known.
std::int64_t least_input(const WindowAxis& axis) {
  return std::max<std::int64_t>(1, axis.size - axis.pad_before - axis.pad_after);
}

bool too_small(const WindowAxis& axis) {
  return axis.in < least_input(axis);
}

void check_padding(const Place& place, std::string_view noun, std::string_view side, std::int64_t padding,
                   std::int64_t size, std::string_view unit) {
  if (padding < size) return;
  place.fail_setting(fmt::format("padding of {} at the {} must be smaller than the {}, which is {} {}",
                                 padding, side, noun, size, unit));
}

}  // namespace

Window place_window(const Place& place, std::string_view noun, config::Extent2 size, config::Extent2 stride,
                    const config::Padding& padding) {
  const auto [smallest, largest] = std::minmax({size[0], size[1], stride[0], stride[1]});
  check(smallest > 0, "windows and strides are positive");
  if (largest > std::numeric_limits<std::int32_t>::max())  // so that no sum below overflows
    place.fail_setting(fmt::format("{} is too large for a {} or a stride", largest, noun));
  if (place.input().rank() != 3)
    place.fail_input("images of channels × height × width", "put it before `flatten` and `dense`");

  const bool explicit_padding = padding.kind == Kind::numbers;
  if (explicit_padding) {
    check(std::min({padding.top, padding.bottom, padding.left, padding.right}) >= 0,
          "padding is not negative");
    check_padding(place, noun, "top", padding.top, size[0], "high");
    check_padding(place, noun, "bottom", padding.bottom, size[0], "high");
    check_padding(place, noun, "left", padding.left, size[1], "wide");
    check_padding(place, noun, "right", padding.right, size[1], "wide");
  }
  WindowAxis height{.in = place.input()[1], .size = size[0], .stride = stride[0]};
  WindowAxis width{.in = place.input()[2], .size = size[1], .stride = stride[1]};
  if (explicit_padding) {
    height.pad_before = padding.top;
    height.pad_after = padding.bottom;
    width.pad_before = padding.left;
    width.pad_after = padding.right;
  }
  if (padding.kind != Kind::same && (too_small(height) || too_small(width)))
    place.fail_input(
        fmt::format("images of at least {}×{} for its {} of {}×{}", least_input(height), least_input(width),
                    noun, size[0], size[1]),
        fmt::format("make the {} smaller, pad the images (`padding: same`), or shrink them less before",
                    noun));
  return {place_on_axis(height, padding.kind), place_on_axis(width, padding.kind)};
}

}  // namespace lockstep::nn
