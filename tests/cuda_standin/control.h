#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

/// How a test steers the stand-in from within its process; from outside it is the environment variable
/// LOCKSTEP_STANDIN, whose keys the README lists.
namespace lockstep::standin {

/// Whether there is a stand-in at all: the same tests run on a real GPU, where nothing here has an effect and
/// counts are zero (cuda_hardware/).
[[nodiscard]] bool is_linked();

/// Takes settings ("seed=7,devices=2,fail=cudaMalloc:3") instead of the environment's; what is not named has
/// its default. Counts of calls start at 0, random numbers at the seed, and a failed device works again.
/// Requires that nothing is queued. The number of devices and their memory can only change while no handle is
/// live.
void configure(std::string_view text);

/// Calls since configure(), by name of function ("cudaMalloc"), and under these names besides:
/// "kernel_launch", each launch of an own kernel; "operation", each operation that ran on a device.
[[nodiscard]] std::map<std::string, std::int64_t> call_counts();
[[nodiscard]] std::int64_t calls(std::string_view name);

/// Live handles and blocks of memory by kind; kinds without any are left out.
[[nodiscard]] std::map<std::string, std::int64_t> live_handles();

/// Operations that are queued and not done, on all devices.
[[nodiscard]] std::int64_t pending_operations();

}  // namespace lockstep::standin
