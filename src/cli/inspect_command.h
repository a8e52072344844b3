#pragma once

#include "cli/command.h"

namespace CLI {
class App;
}

namespace lockstep::cli {

/// Adds `lockstep inspect`. When it is given, parsing sets `action` to its work, which returns the exit
/// status.
void add_inspect_command(CLI::App& app, Action& action);

}  // namespace lockstep::cli
