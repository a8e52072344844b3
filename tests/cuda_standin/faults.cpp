#include "faults.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "control.h"
#include "runtime.h"
#include "settings.h"

namespace lockstep::standin {
namespace {

struct Books {
  std::mutex mutex;
  std::map<std::string, std::int64_t, std::less<>> calls;
  std::map<std::string, std::int64_t, std::less<>> handles;
};

// Never destroyed, for the same reason as the settings.
Books& books() {
  static auto* const instance = new Books;
  return *instance;
}

std::atomic<bool> failed{false};
thread_local bool stalls = false;
thread_local std::string last_asked;  // of this thread's calls that were to fail

bool asked(const std::vector<Fault>& faults, std::string_view call, std::int64_t number) {
  for (const Fault& fault : faults) {
    if (fault.call == call && fault.number == number) return true;
  }
  return false;
}

/// With leaks=1, a process that ends well although something is live ends with status 99.
void report_leaks(int status, void* /*argument*/) {
  if (!settings().leaks || live_handles().empty()) return;
  std::fflush(nullptr);
  for (const auto& [kind, count] : live_handles()) {
    std::fprintf(stderr, "cuda_standin: %lld of %s never destroyed\n", static_cast<long long>(count),
                 kind.c_str());
  }
  if (status == 0) _exit(99);
}

const bool leaks_are_reported = on_exit(report_leaks, nullptr) == 0;

}  // namespace

void violation(std::string_view message) {
  std::fflush(stdout);
  std::fprintf(stderr, "cuda_standin: %.*s\n", static_cast<int>(message.size()), message.data());
  std::abort();
}

namespace {

/// Which call of its name this is, from 1.
std::int64_t count(std::string_view call) {
  const std::lock_guard lock(books().mutex);
  auto& calls = books().calls;
  const auto found = calls.find(call);
  return found == calls.end() ? (calls[std::string(call)] = 1) : ++found->second;
}

}  // namespace

bool fails_on_purpose(std::string_view call) {
  const std::int64_t number = count(call);
  if (asked(settings().hang, call, number)) {
    std::fprintf(stderr, "cuda_standin: %.*s does not return, as asked\n", static_cast<int>(call.size()),
                 call.data());
    for (;;) pause();
  }
  stalls = asked(settings().stall, call, number);
  const bool fails = asked(settings().fail, call, number);
  if (fails) last_asked = call;
  return fails;
}

std::string take_last_failure() {
  return std::exchange(last_asked, {});
}

bool operation_fails() {
  return asked(settings().fail, "operation", count("operation"));
}

bool must_fail(std::string_view call) {
  return fails_on_purpose(call) || failed;
}

bool next_operation_stalls() {
  return std::exchange(stalls, false);
}

void fail_device() {
  failed = true;
}

bool device_has_failed() {
  return failed;
}

void reset_faults() {
  const std::lock_guard lock(books().mutex);
  books().calls.clear();
  failed = false;
  stalls = false;
}

void handle_created(std::string_view kind) {
  const std::lock_guard lock(books().mutex);
  ++books().handles[std::string(kind)];
}

void handle_destroyed(std::string_view kind) {
  const std::lock_guard lock(books().mutex);
  const auto found = books().handles.find(kind);
  if (found == books().handles.end()) violation(std::string(kind) + " destroyed more often than created");
  if (--found->second == 0) books().handles.erase(found);
}

std::map<std::string, std::int64_t> call_counts() {
  const std::lock_guard lock(books().mutex);
  return {books().calls.begin(), books().calls.end()};
}

std::int64_t calls(std::string_view name) {
  const std::lock_guard lock(books().mutex);
  const auto found = books().calls.find(name);
  return found == books().calls.end() ? 0 : found->second;
}

std::map<std::string, std::int64_t> live_handles() {
  const std::lock_guard lock(books().mutex);
  return {books().handles.begin(), books().handles.end()};
}

}  // namespace lockstep::standin
