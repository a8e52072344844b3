#pragma once

#include <string_view>

namespace lockstep::metrics {

/// Writes all of `text`. Returns 0, or the errno of the failure. A pipe that nobody reads gives EPIPE and no
/// SIGPIPE, and a terminal that keeps processes in the background from printing (stty tostop) takes the text
/// and does not stop the process, whatever it does with these signals. Any thread.
int quiet_write(int descriptor, std::string_view text) noexcept;

}  // namespace lockstep::metrics
