#include "train/machine.h"

#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace lockstep::train {
namespace {

/// What follows `key` and `separator` on its line of a file of such lines.
std::optional<std::string> look_up(const char* path, std::string_view key, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t at = line.find(separator);
    if (at == std::string::npos || line.substr(0, line.find_last_not_of(" \t", at - 1) + 1) != key) continue;
    const std::size_t begin = line.find_first_not_of(" \t\"", at + 1);
    if (begin == std::string::npos) return "";
    return line.substr(begin, line.find_last_not_of(" \t\"") + 1 - begin);
  }
  return std::nullopt;
}

}  // namespace

Machine this_machine() {
  utsname names{};
  ::uname(&names);
  // Other processors than x86 have no "model name".
  auto cpu = look_up("/proc/cpuinfo", "model name", ':');
  return {.host = names.nodename,
          .cpu = cpu.value_or(names.machine),
          .cores = ::sysconf(_SC_NPROCESSORS_ONLN),
          .memory_bytes = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE),
          .system = look_up("/etc/os-release", "PRETTY_NAME", '=').value_or("unknown"),
          .kernel = fmt::format("{} {} {}", names.sysname, names.release, names.machine)};
}

std::string text_of(const Machine& machine) {
  const nlohmann::json json{machine.host,         machine.cpu,    machine.cores,
                            machine.memory_bytes, machine.system, machine.kernel};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Machine parse_machine(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text);
  return {.host = json.at(0),
          .cpu = json.at(1),
          .cores = json.at(2),
          .memory_bytes = json.at(3),
          .system = json.at(4),
          .kernel = json.at(5)};
}

}  // namespace lockstep::train
