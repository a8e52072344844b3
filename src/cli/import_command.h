#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace lockstep::cli {

/// Adds `lockstep import`. When it is given, parsing sets `action` to its work, which returns the exit
/// status.
void add_import_command(CLI::App& app, std::function<int()>& action);

}  // namespace lockstep::cli
