#pragma once

#include <CLI/App.hpp>

#include "cli/command.h"

namespace lockstep::cli {

void add_train_command(CLI::App& app, Action& action);
void add_resume_command(CLI::App& app, Action& action);

}  // namespace lockstep::cli
