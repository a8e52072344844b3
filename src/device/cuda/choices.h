#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lockstep::device::cuda {

/// The algorithms of a plan's convolutions as one line, layer after layer:
///
///     conv1: forward 1 filter 1; conv2: forward 1 data 1 filter 1
///
/// The numbers are cuDNN's. Layers and passes come in the order in which they are planned, and are read back
/// in that order, so a layer may have any name.
class Choices {
 public:
  /// To follow `recorded`; if that is empty, to choose.
  explicit Choices(const std::string& recorded) : recorded_(recorded), follows_(!recorded.empty()) {}

  /// What is recorded for the next pass, nothing where it is to be chosen. Error(no_device) where the record
  /// is of another network.
  [[nodiscard]] std::optional<int> recorded(std::string_view layer, std::string_view pass);
  /// To be called with each choice, a recorded one too.
  void add(std::string_view layer, std::string_view pass, int algorithm);
  /// Error(no_device) where the record goes on.
  void finish() const;

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  /// What comes before the number.
  [[nodiscard]] std::string introduction(std::string_view layer, std::string_view pass) const;
  [[noreturn]] void fail_record() const;

  std::string recorded_;
  bool follows_;
  std::string text_;   ///< what was chosen so far
  std::string layer_;  ///< the last one in it
};

}  // namespace lockstep::device::cuda
