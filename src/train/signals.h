#pragma once

namespace lockstep::train {

/// From now on a closed pipe and a file-size limit (SIGPIPE, SIGXFSZ) are errors of the write, and not the
/// end of the process.
void ignore_write_signals();

/// From now on the first SIGINT, SIGTERM, SIGUSR1 or SIGHUP (a terminal that is closed; unless that was
/// ignored, as nohup has it) only sets a flag, which training looks at once a step. A second SIGINT or
/// SIGTERM ends the process as if nobody watched, for whoever cannot wait.
void watch_stop_signals();

/// Whether one of them has come.
bool stop_was_requested();

}  // namespace lockstep::train
