#include "train/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "io/atomic_file.h"
#include "train/machine.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

/// What the process that has the lock wrote about itself.
std::string holder(const io::FileDescriptor& file) {
  std::array<char, 512> text{};
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  std::string line(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  line.resize(std::min(line.find('\n'), line.size()));
  return line.empty() ? "another process" : line;
}

}  // namespace

RunLock::RunLock(const fs::path& folder, std::chrono::milliseconds patience) {
  const fs::path path = folder / file_name;
  file_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!file_) fail(ExitCode::cannot_create, "cannot open '{}': {}", path.string(), std::strerror(errno));
  constexpr std::chrono::milliseconds pause(50);
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) {
      log::warning("'{}' cannot be locked ({}): see to it that no other job uses this run", path.string(),
                   std::strerror(errno));
      break;
    }
    if (std::chrono::steady_clock::now() >= give_up)
      fail(ExitCode::cannot_create, "the run '{}' is in use by {}: wait for it, or stop it", folder.string(),
           holder(file_));
    std::this_thread::sleep_for(pause);
  }
  const std::string mine = fmt::format("process {} on {}\n", ::getpid(), this_machine().host);
  if (::ftruncate(file_.get(), 0) != 0)
    fail(ExitCode::io_error, "cannot write '{}': {}", path.string(), std::strerror(errno));
  io::write_all(file_.get(), std::as_bytes(std::span(mine)), path);
}

}  // namespace lockstep::train
