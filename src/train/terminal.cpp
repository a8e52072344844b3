#include "train/terminal.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "train/process.h"

namespace lockstep::train {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Process {
  pid_t parent = 0;
  std::string name;  // of its program, at most 15 characters
};

std::optional<Process> look_up(pid_t id) {
  // "12 (a name) S 11 …": the name may itself hold brackets and blanks.
  const std::string stat = contents(fmt::format("/proc/{}/stat", id));
  const std::size_t open = stat.find('('), close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  Process process{.parent = 0, .name = stat.substr(open + 1, close - open - 1)};
  char state = 0;
  std::istringstream fields(stat.substr(close + 1));
  if (!(fields >> state >> process.parent)) return std::nullopt;
  return process;
}

template <std::size_t Count>
bool is_one_of(std::string_view name, const std::array<std::string_view, Count>& names) {
  return std::ranges::find(names, name) != names.end();
}

/// The nearest ancestor that is an mpirun; wrappers such as numactl or a shell may stand in between. None if
/// a daemon does: it forwards to an mpirun elsewhere.
std::optional<pid_t> forwarding_mpirun() {
  constexpr std::array<std::string_view, 4> launchers{"mpirun", "mpiexec", "orterun", "prterun"};
  constexpr std::array<std::string_view, 4> daemons{"orted", "prted", "prte", "slurmstepd"};
  constexpr int most_wrappers = 8;
  pid_t id = ::getppid();
  for (int i = 0; i <= most_wrappers && id > 1; ++i) {
    const std::optional<Process> process = look_up(id);
    if (!process) return std::nullopt;
    const std::string_view name =
        std::string_view(process->name).substr(0, process->name.find('.'));  // "mpirun.openmpi"
    if (is_one_of(name, launchers)) return id;
    if (is_one_of(name, daemons)) return std::nullopt;
    id = process->parent;
  }
  return std::nullopt;
}

/// Whether mpirun passes lines on as they are: --tag-output, --output dir=…, --timestamp-output, -xml and
/// their like make it mark each line, or write files.
bool forwards_plainly(pid_t mpirun) {
  const std::string arguments = contents(fmt::format("/proc/{}/cmdline", mpirun));
  std::size_t begin = 0;
  while (begin < arguments.size()) {
    const std::size_t end = std::min(arguments.find('\0', begin), arguments.size());
    const std::string_view argument = std::string_view(arguments).substr(begin, end - begin);
    if (argument.starts_with('-'))
      for (const std::string_view word : {"output", "xml", "xterm"})
        if (argument.find(word) != std::string_view::npos) return false;
    begin = end + 1;
  }
  return !arguments.empty();
}

io::FileDescriptor open_if_terminal(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) return {};
  io::FileDescriptor descriptor(::open(path.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!descriptor || ::isatty(descriptor.get()) == 0) return {};
  return descriptor;
}

}  // namespace

Terminal::Terminal(io::FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {
  const char* kind = std::getenv("TERM");
  interactive_ = descriptor_ && kind != nullptr && *kind != '\0' && std::string_view(kind) != "dumb";
}

Terminal Terminal::of_standard_output() {
  if (::isatty(STDOUT_FILENO) == 0) return {};
  const bool under_mpirun = was_started_with("OMPI_COMM_WORLD_RANK") || was_started_with("PMIX_RANK");
  if (!under_mpirun) return Terminal(io::FileDescriptor(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)));
  const std::optional<pid_t> mpirun = forwarding_mpirun();
  if (!mpirun || !forwards_plainly(*mpirun)) return {};
  return Terminal(open_if_terminal(fmt::format("/proc/{}/fd/{}", *mpirun, STDOUT_FILENO)));
}

int Terminal::output() const {
  return interactive_ ? descriptor_.get() : STDOUT_FILENO;
}

int Terminal::width() const {
  winsize size{};
  if (!descriptor_ || ::ioctl(descriptor_.get(), TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

bool wants_progress(config::Progress setting, const Terminal& terminal) {
  switch (setting) {
    case config::Progress::on:
      return true;
    case config::Progress::off:
      return false;
    case config::Progress::automatic:
      break;
  }
  return terminal.is_interactive();
}

bool wants_colour(const Terminal& terminal) {
  return terminal.is_interactive() && !is_set("NO_COLOR");
}

}  // namespace lockstep::train
