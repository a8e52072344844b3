#pragma once

namespace lockstep::train {

/// From now on SIGINT, SIGTERM and SIGUSR1 only set a flag, which training looks at once a step. SIGPIPE and
/// SIGXFSZ are ignored, so that a closed pipe and a file-size limit are errors of the write and not the end
/// of the process.
void watch_signals();

/// Whether one of them has come.
bool stop_was_requested();

}  // namespace lockstep::train
