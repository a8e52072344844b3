#pragma once

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

#include "io/file_descriptor.h"

namespace lockstep::testing {

/// A terminal that a test holds the other end of. What is printed arrives as it is.
class PseudoTerminal {
 public:
  PseudoTerminal() {
    if (::grantpt(screen_.get()) != 0 || ::unlockpt(screen_.get()) != 0) return;
    std::array<char, 64> name{};
    if (::ptsname_r(screen_.get(), name.data(), name.size()) != 0) return;
    device_.reset(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios settings{};
    if (::tcgetattr(device_.get(), &settings) != 0) return;
    ::cfmakeraw(&settings);
    works_ = ::tcsetattr(device_.get(), TCSANOW, &settings) == 0;
  }

  [[nodiscard]] bool works() const { return works_; }
  /// What a program prints to; writing to it waits while the terminal takes nothing.
  [[nodiscard]] int device() const { return device_.get(); }
  /// As Ctrl-S and Ctrl-Q do.
  void pause() { ::tcflow(device_.get(), TCOOFF); }
  void resume() { ::tcflow(device_.get(), TCOON); }
  /// What has arrived since the last call. A terminal passes it on a moment after the write.
  std::string read() {
    constexpr int long_enough = 200;  // milliseconds in which nothing more comes
    std::string text;
    pollfd waited{.fd = screen_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&waited, 1, long_enough) > 0) {
      std::array<char, 4096> block{};
      const ssize_t count = ::read(screen_.get(), block.data(), block.size());
      if (count <= 0) break;
      text.append(block.data(), static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  io::FileDescriptor screen_{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  io::FileDescriptor device_;
  bool works_ = false;
};

}  // namespace lockstep::testing
