#include "metrics/quiet_write.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace lockstep::metrics {
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

/// Waits until a non-blocking descriptor takes more. Terminals shared with other programs can be
/// non-blocking.
bool wait_until_writable(int descriptor) noexcept {
  pollfd waited{.fd = descriptor, .events = POLLOUT, .revents = 0};
  return ::poll(&waited, 1, -1) >= 0 || errno == EINTR;
}

}  // namespace

int quiet_write(int descriptor, std::string_view text) noexcept {
  const SignalsHeld held;
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      if (!wait_until_writable(descriptor)) return errno;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace lockstep::metrics
