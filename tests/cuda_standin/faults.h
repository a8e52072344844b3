#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep::standin {

/// Counts a call, as must_fail() does, but does not look whether the device has failed. `stall` faults that
/// name the call are remembered for next_operation_stalls().
[[nodiscard]] bool fails_on_purpose(std::string_view call);

/// Whether the call that this thread made last was asked to queue an operation that never gets done. Asking
/// takes the answer.
[[nodiscard]] bool next_operation_stalls();

/// The name of the call of this thread that failed last because it was asked to; asking takes the answer.
[[nodiscard]] std::string take_last_failure();

/// Counts an operation that is about to run; whether it was asked to fail.
[[nodiscard]] bool operation_fails();
/// An operation failed while it ran: from now on every call reports it, and what is queued does nothing.
void fail_device();
[[nodiscard]] bool device_has_failed();

/// Forgets counts and failures.
void reset_faults();

}  // namespace lockstep::standin
