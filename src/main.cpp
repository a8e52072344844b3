#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <sstream>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "cli/audit_command.h"
#include "cli/command.h"
#include "cli/compare_command.h"
#include "cli/config_command.h"
#include "cli/doctor_command.h"
#include "cli/evaluate_command.h"
#include "cli/import_command.h"
#include "cli/inspect_command.h"
#include "cli/plan_command.h"
#include "cli/train_command.h"
#include "cli/version.h"
#include "config/suggest.h"

namespace {

using lockstep::ExitCode;

/// Throws if the first word is no command: CLI11 would ask for one and not name the word. No option in front
/// of a command goes with it, so the command is the first word.
void check_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string_view> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  if (std::ranges::find(names, argv[1]) != names.end()) return;
  const std::string_view near = lockstep::config::nearest(argv[1], names);
  const std::string advice =
      near.empty() ? fmt::format("the commands are {}", lockstep::config::join_words(names, "and"))
                   : fmt::format("did you mean '{}'?", near);
  throw CLI::RequiredError(fmt::format("unknown command '{}', {}", argv[1], advice),
                           CLI::ExitCodes::RequiredError);
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"Lockstep: distributed data-parallel training with the same bits on any number of ranks",
               "lockstep"};
  app.set_version_flag("--version", lockstep::cli::version_text,
                       "Print the versions of Lockstep and its libraries");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  lockstep train configs/mnist_cnn.yaml                 train on this machine's cores\n"
      "  mpirun -n 4 lockstep train configs/mnist_cnn.yaml     train on four ranks\n"
      "  lockstep resume runs/NAME                             go on with a run that was stopped\n"
      "  lockstep plan configs/mnist_cnn.yaml --ranks 4        what four ranks would do\n"
      "  lockstep audit runs/NAME --sample 7                   where and when a run read a sample\n"
      "  lockstep compare runs/NAME runs/OTHER                 whether two runs were the same, or where they "
      "part\n"
      "  lockstep COMMAND --help                               more about one command\n"
      "\n"
      "Exit status: 0 success, 1 compared runs differ, 64 wrong command line, 65 bad data or diverged, 66 "
      "missing input, 69 no such "
      "device,\n"
      "70 internal error, 73 cannot create output, 74 write failed, 75 stopped by a signal, 78 wrong "
      "experiment file.");
  lockstep::cli::Action action;
  lockstep::cli::add_train_command(app, action);
  lockstep::cli::add_resume_command(app, action);
  lockstep::cli::add_evaluate_command(app, action);
  lockstep::cli::add_audit_command(app, action);
  lockstep::cli::add_compare_command(app, action);
  lockstep::cli::add_plan_command(app, action);
  lockstep::cli::add_config_command(app, action);
  lockstep::cli::add_import_command(app, action);
  lockstep::cli::add_inspect_command(app, action);
  lockstep::cli::add_doctor_command(app, action);
  try {
    check_command(app, argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream of_other_ranks;
    const bool is_first = lockstep::cli::is_first_rank();
    const bool asked_for_help =
        app.exit(error, is_first ? std::cout : of_other_ranks, is_first ? std::cerr : of_other_ranks) == 0;
    return static_cast<int>(asked_for_help ? ExitCode::success : ExitCode::usage);
  }
  return action();
}

}  // namespace

/// The one place that reports what went wrong and turns it into an exit status.
int main(int argc, char** argv) {
  try {
    const int status = parse_and_run(argc, argv);
    // An answer that nobody got is a failure: what was printed may still wait in a buffer.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      lockstep::fail(ExitCode::io_error, "cannot write to standard output: {}", std::strerror(errno));
    return status;
  } catch (const lockstep::Error& error) {
    lockstep::log::write_error(error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    lockstep::log::write_error(error.what());
    return static_cast<int>(std::ferror(stdout) != 0 ? ExitCode::io_error : ExitCode::internal);
  }
}
