#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "support/process.h"

namespace lockstep::testing {

using Words = std::vector<std::string>;

/// The `lockstep` that was built with the tests.
std::string program();
/// A path below the top of the source tree.
std::string source(const std::string& path);
/// MNIST, as `lockstep import` makes it: 60,000 images to train on, 10,000 to test with.
std::string mnist_file();
/// The 10,000 test images of MNIST, in both roles.
std::string small_file();

/// How to start the program.
struct Job {
  int ranks = 1;
  /// Also one rank is started by mpirun.
  bool always_mpirun = false;
  Words launcher_options{};
  /// Ranks on each of two simulated hosts (support/two_hosts.sh), instead of `ranks` on this one.
  std::vector<int> hosts{};
  /// Words before the program on each rank, such as {"sh", "-c", "…; exec \"$@\"", "sh"}.
  Words wrapper{};
  std::string folder{};
  std::map<std::string, std::string> environment{};
  std::function<void(pid_t)> started{};
  std::chrono::seconds timeout{120};
};

/// The words of the whole command.
Words command(const Words& arguments, const Job& job = {});
/// The environment that tests run the program in: nothing that the caller happened to set steers it, and
/// ranks that wait leave the core to others.
std::map<std::string, std::string> environment(const Job& job = {});
ProcessResult run(const Words& arguments, const Job& job = {});

/// `lockstep train` of a shipped experiment ("mnist_cnn") with `data` as its data file, and overrides.
Words train_shipped(const std::string& experiment, const std::string& data, const Words& overrides = {});

/// The words as one line for a shell.
std::string quoted(const Words& words);

/// Polls until `ready` returns true, or a minute has gone; returns what it last said.
bool wait_until(const std::function<bool()>& ready);

}  // namespace lockstep::testing
