#include "train/settings_text.h"

#include <fmt/format.h>

#include <vector>

#include "metrics/format.h"

namespace lockstep::train {

std::string text_of(const config::Augment& augment) {
  std::vector<std::string> parts;
  if (augment.shift > 0) parts.push_back("shift up to " + metrics::counted(augment.shift, "pixel"));
  if (augment.rotate > 0) parts.push_back(fmt::format("rotate up to {}°", augment.rotate));
  if (augment.shear > 0) parts.push_back(fmt::format("shear up to {}", augment.shear));
  if (augment.zoom > 0) parts.push_back(fmt::format("zoom up to {}", augment.zoom));
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string text_of(const config::Average& average) {
  const std::string summands =
      average.every_steps == 0
          ? fmt::format("after each epoch from {} on", average.from_epoch)
          : fmt::format("after every {}, from epoch {} on", metrics::counted(average.every_steps, "step"),
                        average.from_epoch);
  return fmt::format("of the weights {}; it is validated and saved", summands);
}

}  // namespace lockstep::train
