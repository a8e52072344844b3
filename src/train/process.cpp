#include "train/process.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "base/check.h"

namespace lockstep::train {

std::int64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kibibytes = 0;
  while (status >> word)
    if (word == "VmHWM:") {
      status >> kibibytes;
      break;
    }
  check(kibibytes > 0, "/proc/self/status has VmHWM");
  return kibibytes * 1024;
}

double process_age_seconds() {
  // proc(5): the 22nd field of stat is the start in clock ticks after boot. The second, the name, may hold
  // blanks.
  constexpr int fields_after_name = 20;
  std::ifstream file("/proc/self/stat");
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string field;
  for (int i = 0; i < fields_after_name; ++i) fields >> field;
  check(!field.empty(), "/proc/self/stat has the start of the process");
  timespec since_boot{};
  ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
  const double now = static_cast<double>(since_boot.tv_sec) + static_cast<double>(since_boot.tv_nsec) * 1e-9;
  return now - std::stod(field) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::string program_name() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string word;
  std::getline(file, word, '\0');
  return word;
}

bool was_started_with(std::string_view variable) {
  std::ifstream file("/proc/self/environ", std::ios::binary);  // "NAME=value", each with a zero behind it
  for (std::string entry; std::getline(file, entry, '\0');)
    if (entry.starts_with(variable) && entry.size() > variable.size() + 1 && entry[variable.size()] == '=')
      return true;
  return false;
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words{std::istreambuf_iterator<char>(file), {}};
  if (!words.empty() && words.back() == '\0') words.pop_back();
  std::replace(words.begin(), words.end(), '\0', ' ');
  return words;
}

}  // namespace lockstep::train
