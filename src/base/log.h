#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

/// Messages for a person, on standard error. Standard output carries only what was asked for.
namespace lockstep::log {

/// Names the rank in every later message ("rank 3: …"). Call once, before other threads start.
void set_rank(int rank);

/// A terminal that takes nothing (Ctrl-S) holds a warning up for a second, after which it is lost: what goes
/// on matters more. An error is waited for.
void write_warning(std::string_view message);
void write_error(std::string_view message);

template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write_warning(fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write_error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace lockstep::log
