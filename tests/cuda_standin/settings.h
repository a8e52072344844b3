#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::standin {

/// "fail=cudaMalloc:3": the third call, counted from 1.
struct Fault {
  std::string call;
  std::int64_t number = 0;
};

/// What LOCKSTEP_STANDIN or configure() says; README.md explains the keys.
struct Settings {
  std::uint64_t seed = 1;
  int devices = 4;
  std::int64_t memory_mb = 2048;  ///< of each device
  std::string driver;  ///< empty: as new as the runtime; "none"; or a version as the driver gives it
  bool one_board = false;
  bool hopper = false;
  bool guards = true;  ///< see Memory
  bool leaks = false;
  std::vector<Fault> fail;
  std::vector<Fault> hang;
  std::vector<Fault> stall;
};

/// Those in force; the first use reads the environment.
[[nodiscard]] const Settings& settings();
/// Aborts with violation() where `text` makes no sense.
void set_settings(std::string_view text);

}  // namespace lockstep::standin
