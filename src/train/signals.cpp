#include "train/signals.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <initializer_list>
#include <thread>

namespace lockstep::train {
namespace {

constexpr std::array watched{SIGINT, SIGTERM, SIGUSR1, SIGHUP};
std::atomic<bool> watching = false;
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
  // A signal goes to any thread that takes it: see to it that there is one when all others compute.
  if (!watching.exchange(true))
    std::thread([] {
      while (true) ::pause();
    }).detach();
}

void keep_signals_away() {
  if (!watching) return;
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : watched) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

bool stop_was_requested() {
  return stop_requested;
}

}  // namespace lockstep::train
