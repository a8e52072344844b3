// usage: terminal_probe FOLDER
// Says in FOLDER/facts what it takes its standard output for, then plays one epoch of a training on it.
// Within the epoch it waits until FOLDER/go exists. Only the first rank does anything.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <thread>

#include "io/atomic_file.h"
#include "metrics/console.h"
#include "train/terminal.h"

int main(int argc, char** argv) {
  using namespace lockstep;
  using namespace std::chrono_literals;
  if (argc != 2) return EXIT_FAILURE;
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (rank != nullptr && std::string_view(rank) != "0") return EXIT_SUCCESS;
  const std::filesystem::path folder(argv[1]);

  const auto terminal = train::Terminal::of_standard_output();
  const bool progress = train::wants_progress(config::Progress::automatic, terminal);
  io::write_file(folder / "facts",
                 fmt::format("progress {} colour {} width {} isatty {}\n", progress,
                             train::wants_colour(terminal), terminal.width(), ::isatty(STDOUT_FILENO) != 0));

  metrics::Console console(terminal.output(), {.progress = progress,
                                               .colour = train::wants_colour(terminal),
                                               .width = [&] { return terminal.width(); },
                                               .now = {}});
  console.step({.epoch = 1, .epochs = 3, .step = 7, .steps = 20});
  for (int i = 0; i < 2000 && !std::filesystem::exists(folder / "go"); ++i) std::this_thread::sleep_for(10ms);
  console.epoch({.epoch = 1, .epochs = 3, .train_loss = 0.5, .train_accuracy = 0.75});
  return EXIT_SUCCESS;
}
