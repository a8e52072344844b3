#include "train/signals.h"

#include <csignal>
#include <initializer_list>

namespace lockstep::train {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

void request_stop(int /*signal*/) {
  stop_requested = 1;
}

}  // namespace

void watch_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) std::signal(signal, request_stop);
  for (const int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

bool stop_was_requested() {
  return stop_requested != 0;
}

}  // namespace lockstep::train
