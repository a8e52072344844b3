#include "comm/poll_together.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <thread>

#include "base/error.h"

namespace lockstep::comm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How long ranks poll before they tell each other how they are: short for what is done at once.
constexpr milliseconds first_round{1};
constexpr milliseconds longest_round{50};

bool poll_for(milliseconds duration, const std::function<bool()>& poll) {
  const Clock::time_point end = Clock::now() + duration;
  while (!poll()) {
    if (Clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

}  // namespace

void poll_together(World& world, std::string_view what, milliseconds limit,
                   const std::function<bool()>& poll) {
  const Clock::time_point end = Clock::now() + limit;
  bool done = false;
  std::exception_ptr failure;
  for (milliseconds round = first_round;; round = std::min(2 * round, longest_round)) {
    try {
      if (!done) done = poll_for(round, poll);
      if (!done && Clock::now() >= end)
        fail(ExitCode::internal, "{}: not done after {} ms", what, limit.count());
    } catch (...) {
      failure = std::current_exception();
    }
    std::array<std::int64_t, 2> any{done ? 0 : 1, failure ? 1 : 0};  // unfinished, failed
    world.max(any);
    if (any[1] != 0) break;
    if (any[0] == 0) return;
  }
  world.agree([&] {
    if (failure) std::rethrow_exception(failure);
  });
}

}  // namespace lockstep::comm
