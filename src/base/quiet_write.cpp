#include "base/quiet_write.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <ctime>

namespace lockstep {
namespace {

/// Keeps SIGPIPE and SIGTTOU from this thread while it lives, and takes back a SIGPIPE that arose meanwhile:
/// it goes to the thread that wrote, so nobody else's is touched. (A SIGTTOU does not arise where it is
/// blocked.)
class SignalsHeld {
 public:
  SignalsHeld() noexcept {
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGPIPE);
    sigaddset(&held, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~SignalsHeld() {
    if (!was_pending_) take_back_pipe();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

 private:
  static void take_back_pipe() noexcept {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    const timespec at_once{};
    while (sigtimedwait(&pipe, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }

  sigset_t before_{};
  bool was_pending_ = false;
};

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Waits until a descriptor has room, or is broken; false if the time is up.
bool wait_until_writable(int descriptor, std::optional<Clock::time_point> end) noexcept {
  for (;;) {
    const auto left = end ? std::max(std::chrono::ceil<milliseconds>(*end - Clock::now()), milliseconds(0))
                          : milliseconds(-1);
    pollfd waited{.fd = descriptor, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(left.count()));
    if (ready >= 0 || errno != EINTR) return ready != 0;
  }
}

/// A terminal can have room, but not for a line's end, which it makes two characters of.
void wait_a_little() noexcept {
  constexpr timespec five_milliseconds{.tv_sec = 0, .tv_nsec = 5'000'000};
  nanosleep(&five_milliseconds, nullptr);
}

}  // namespace

Written quiet_write(int descriptor, std::string_view text, std::optional<milliseconds> patience) noexcept {
  const SignalsHeld held;
  const auto end = patience ? std::optional(Clock::now() + *patience) : std::nullopt;
  std::size_t done = 0;
  while (done < text.size()) {
    if (!wait_until_writable(descriptor, end)) return {done, EAGAIN};
    const std::size_t piece = std::min<std::size_t>(text.size() - done, PIPE_BUF);
    const ssize_t count = ::write(descriptor, text.data() + done, piece);
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (count == 0 || errno == EAGAIN) {
      if (end && Clock::now() >= *end) return {done, EAGAIN};
      wait_a_little();
    } else if (errno != EINTR) {
      return {done, errno};
    }
  }
  return {done, 0};
}

int without_blocking(int descriptor) noexcept {
  if (::isatty(descriptor) == 0) return -1;
  std::array<char, 32> path{};  // "/proc/self/fd/2147483647"
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", descriptor);
  return ::open(path.data(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

}  // namespace lockstep
