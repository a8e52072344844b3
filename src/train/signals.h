#pragma once

namespace lockstep::train {

/// From now on a closed pipe and a file-size limit (SIGPIPE, SIGXFSZ) are errors of the write, and not the
/// end of the process.
void ignore_write_signals();

/// From now on, on a thread of its own, the first SIGINT, SIGTERM, SIGUSR1 or SIGHUP (a terminal that is
/// closed; unless that was ignored, as nohup has it) only sets a flag, which training looks at once a step. A
/// second SIGINT or SIGTERM ends the process as if nobody watched, for whoever cannot wait.
void watch_stop_signals();

/// Keeps the signals that are watched, if any are, from this thread and those that it starts. For threads
/// that compute: while oneDNN's generated code runs, the stack pointer may point into memory that is no
/// stack, and the kernel would put a handler's frame over it.
void keep_signals_away();

/// Whether one of them has come.
bool stop_was_requested();

}  // namespace lockstep::train
