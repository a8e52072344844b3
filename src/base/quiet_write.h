#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

namespace lockstep {

struct Written {
  std::size_t count = 0;  ///< bytes, from the beginning
  int error = 0;          ///< 0: all of the text; EAGAIN: no more was taken in time; else why it cannot be
};

/// Writes `text`, and waits at most `patience` in all for the descriptor to take it, as long as it takes if
/// none is given. A pipe that nobody reads gives EPIPE and no SIGPIPE, and a terminal that keeps processes in
/// the background from printing (stty tostop) takes the text and does not stop the process, whatever it does
/// with these signals. Any thread.
///
/// A terminal that is paused (Ctrl-S), or that nobody reads, takes nothing. A write to one would wait in the
/// kernel, so each is preceded by poll(2). That tells whether there is room, not how much: with patience,
/// pass a descriptor made by without_blocking() for terminals. Pipes always have room for the pieces that are
/// written.
Written quiet_write(int descriptor, std::string_view text,
                    std::optional<std::chrono::milliseconds> patience = std::nullopt) noexcept;

/// The terminal behind `descriptor`, opened once more such that a write never waits: setting O_NONBLOCK on
/// the descriptor itself would set it for every process that shares it, the shell among them. The caller
/// closes it. -1 if it is no terminal, or one of another user that may not be opened.
int without_blocking(int descriptor) noexcept;

}  // namespace lockstep
