// The stand-in's controls where a GPU is: there is nothing to set, and nothing is counted.
#include "control.h"

namespace lockstep::standin {

bool is_linked() {
  return false;
}

void configure(std::string_view /*text*/) {}
std::map<std::string, std::int64_t> call_counts() {
  return {};
}
std::int64_t calls(std::string_view /*name*/) {
  return 0;
}
std::map<std::string, std::int64_t> live_handles() {
  return {};
}
std::int64_t pending_operations() {
  return 0;
}

}  // namespace lockstep::standin
