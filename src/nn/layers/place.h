#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/experiment.h"
#include "tensor/shape.h"

namespace lockstep::nn {

/// Where a layer stands in a model, and what comes into it: all that its constructor and its messages need.
/// Borrows the experiment.
class Place {
 public:
  /// Requires index < experiment.model.size(). Layers count from 0, as in the override `model.0`.
  Place(const config::Experiment& experiment, std::size_t index, Shape input);

  [[nodiscard]] const std::string& name() const { return layer().name; }
  /// Shape of one sample.
  [[nodiscard]] const Shape& input() const { return input_; }
  /// How many layers of the same kind come before this one.
  [[nodiscard]] std::uint32_t ordinal_of_kind() const;

  /// "mnist.yaml:7:5: layer 4 'fc1' (dense)"; without the numbers for what is not said in the file.
  [[nodiscard]] std::string text() const;

  /// Throws Error(bad_config) "<text>: needs <need>, got <input> from <layer before>; <advice>".
  [[noreturn]] void fail_input(std::string_view need, std::string_view advice) const;
  /// Throws Error(bad_config) "<text>: <problem>", for a setting that is wrong whatever the input.
  [[noreturn]] void fail_setting(std::string_view problem) const;
  /// fail_setting() if a tensor of this shape would have more than 2^40 elements: far above what fits into
  /// memory, far below where products of extents overflow. `what` names it: "weight".
  void check_size(std::string_view what, const Shape& shape) const;

 private:
  [[nodiscard]] const config::Layer& layer() const { return experiment_.model[index_]; }
  [[nodiscard]] std::string source_of_input() const;

  const config::Experiment& experiment_;
  std::size_t index_;
  Shape input_;
};

/// The kind of a layer as experiment files spell it: "conv2d".
std::string_view kind_of(const config::LayerSpec& spec);

}  // namespace lockstep::nn
