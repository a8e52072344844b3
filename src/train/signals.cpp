#include "train/signals.h"

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace lockstep::train {
namespace {

std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may set the flag");

void request_stop(int signal) {
  if (stop_requested.exchange(true) && signal != SIGUSR1 && signal != SIGHUP) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

}  // namespace

void ignore_write_signals() {
  for (const int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

void watch_stop_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) std::signal(signal, request_stop);
  // Under nohup the end of the terminal is not to be noticed.
  if (std::signal(SIGHUP, request_stop) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
}

bool stop_was_requested() {
  return stop_requested;
}

}  // namespace lockstep::train
