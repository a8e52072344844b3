#include "device/cuda/choices.h"

#include <fmt/core.h>

#include <charconv>

#include "base/error.h"

namespace lockstep::device::cuda {

std::string Choices::introduction(std::string_view layer, std::string_view pass) const {
  if (layer_ == layer) return fmt::format(" {} ", pass);
  return fmt::format("{}{}: {} ", text_.empty() ? "" : "; ", layer, pass);
}

std::optional<int> Choices::recorded(std::string_view layer, std::string_view pass) {
  if (!follows_) return std::nullopt;
  const std::string begin = text_ + introduction(layer, pass);
  if (!recorded_.starts_with(begin)) fail_record();
  int algorithm = -1;
  const char* end = recorded_.data() + recorded_.size();
  if (std::from_chars(recorded_.data() + begin.size(), end, algorithm).ec != std::errc()) fail_record();
  return algorithm;
}

void Choices::add(std::string_view layer, std::string_view pass, int algorithm) {
  text_ += fmt::format("{}{}", introduction(layer, pass), algorithm);
  layer_ = layer;
}

void Choices::finish() const {
  if (follows_ && text_ != recorded_) fail_record();
}

void Choices::fail_record() const {
  fail(ExitCode::no_device,
       "the convolution algorithms to be used, '{}', are those of another network or version: they do not go "
       "on after '{}'",
       recorded_, text_);
}

}  // namespace lockstep::device::cuda
