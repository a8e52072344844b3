#pragma once

#include <CLI/App.hpp>

#include "cli/command.h"

namespace lockstep::cli {

void add_doctor_command(CLI::App& app, Action& action);

}  // namespace lockstep::cli
