#include "support/tmux.h"

#include <fstream>
#include <stdexcept>
#include <vector>

#include "support/process.h"

namespace lockstep::testing {
namespace {

ProcessResult call(const TemporaryFolder& folder, const std::vector<std::string>& words) {
  std::vector<std::string> all{"tmux", "-S", folder.file("socket")};
  all.insert(all.end(), words.begin(), words.end());
  return run_process(all);
}

}  // namespace

Tmux::Tmux(const std::string& script) {
  // The terminal goes away with its last process: that is one which only waits.
  std::ofstream(folder_.file("script")) << script << "\nexec sleep 300\n";
  const ProcessResult result = call(folder_, {"-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40",
                                              "sh", folder_.file("script")});
  if (result.status != 0)
    throw std::runtime_error("tmux does not work; if it is missing, ./launch/test.sh installs it: " +
                             result.err);
}

Tmux::~Tmux() {
  call(folder_, {"kill-server"});
}

std::string Tmux::screen() const {
  return call(folder_, {"capture-pane", "-p"}).out;
}

}  // namespace lockstep::testing
