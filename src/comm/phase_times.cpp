#include "comm/phase_times.h"

#include "base/check.h"

namespace lockstep::comm {

PhaseTimes::PhaseTimes(Activity& activity) : activity_(activity) {
  check(activity.observe(this) == nullptr, "one observer at a time");
}

PhaseTimes::~PhaseTimes() {
  activity_.observe(nullptr);
}

void PhaseTimes::changed(const Activity::View& before, const Activity::View& now) {
  const Clock::time_point moment = Clock::now();
  if (steps_ > 0) {
    Spent& spent = spent_[static_cast<std::size_t>(before.phase)];
    spent.all += moment - since_;
    if (before.waiting) spent.waiting += moment - since_;
  }
  since_ = moment;
  if (now.step != before.step) ++steps_;
}

}  // namespace lockstep::comm
