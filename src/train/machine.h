#pragma once

#include <cstdint>
#include <string>

namespace lockstep::train {

/// The machine that this process runs on.
struct Machine {
  std::string host;
  std::string cpu;                ///< model name, as the kernel gives it
  std::int64_t cores = 0;         ///< logical ones that are online
  std::int64_t memory_bytes = 0;  ///< of the whole machine
  std::string system;             ///< "Debian GNU/Linux 12 (bookworm)"
  std::string kernel;             ///< "Linux 6.1.0 x86_64"
};

Machine this_machine();

/// For sending it to another rank: parse_machine(text_of(m)) gives m.
std::string text_of(const Machine& machine);
Machine parse_machine(const std::string& text);

}  // namespace lockstep::train
