#pragma once

#include <source_location>
#include <string_view>

namespace lockstep {

/// Throws Error(ExitCode::internal) naming the source line when an invariant of Lockstep itself is broken.
/// For what a user can cause, throw an Error with advice instead.
void check(bool holds, std::string_view invariant,
           std::source_location where = std::source_location::current());

}  // namespace lockstep
