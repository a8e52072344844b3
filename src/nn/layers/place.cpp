#include "nn/layers/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "config/describe_model.h"

namespace lockstep::nn {

Place::Place(const config::Experiment& experiment, std::size_t index, Shape input)
    : experiment_(experiment), index_(index), input_(std::move(input)) {
  check(index < experiment.model.size(), "a layer's index lies within the model");
}

std::uint32_t Place::ordinal_of_kind() const {
  const auto kind = layer().spec.index();
  const auto end = experiment_.model.begin() + static_cast<std::ptrdiff_t>(index_);
  return static_cast<std::uint32_t>(
      std::count_if(experiment_.model.begin(), end,
                    [&](const config::Layer& other) { return other.spec.index() == kind; }));
}

std::string Place::text() const {
  const config::Mark mark = layer().mark;
  const std::string position = mark.line > 0 ? fmt::format(":{}:{}", mark.line, mark.column) : "";
  return fmt::format("{}{}: layer {} '{}' ({})", experiment_.source, position, index_, name(),
                     kind_of(layer().spec));
}

std::string Place::source_of_input() const {
  if (index_ == 0) return "the images";
  return fmt::format("layer {} '{}'", index_ - 1, experiment_.model[index_ - 1].name);
}

void Place::fail_input(std::string_view need, std::string_view advice) const {
  fail(ExitCode::bad_config, "{}: needs {}, got {} from {}; {}", text(), need, input_.text(),
       source_of_input(), advice);
}

void Place::fail_setting(std::string_view problem) const {
  fail(ExitCode::bad_config, "{}: {}", text(), problem);
}

void Place::check_size(std::string_view what, const Shape& shape) const {
  double elements = 1;  // a double cannot overflow here
  for (const std::int64_t extent : shape.extents()) elements *= static_cast<double>(extent);
  if (elements <= 0x1p40) return;
  fail_setting(
      fmt::format("its {} would be {}, more than 2^40 numbers; make it smaller", what, shape.text()));
}

std::string_view kind_of(const config::LayerSpec& spec) {
  return std::visit([]<class Kind>(const Kind&) { return config::Description<Kind>::name; }, spec);
}

}  // namespace lockstep::nn
