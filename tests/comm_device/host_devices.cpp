// The variant of the accelerator's files (device/accelerator.h) that has host accelerators: a program that is
// built with it trains on them with `device.kind: cuda`.
#include <fmt/format.h>

#include <cstdlib>

#include "base/error.h"
#include "host_accelerator.h"

namespace lockstep::device {
namespace {

constexpr const char* variable = "LOCKSTEP_HOST_DEVICES";

/// As many as the environment says, else 8.
int device_count() {
  const char* value = std::getenv(variable);
  return value == nullptr ? 8 : std::atoi(value);
}

testing::HostAcceleratorOptions options_of(int index) {
  return {.index = index, .unique_id = fmt::format("HOST-{}", index)};
}

}  // namespace

std::vector<DeviceFacts> visible_devices() {
  std::vector<DeviceFacts> devices;
  for (int index = 0; index < device_count(); ++index)
    devices.push_back(testing::HostAccelerator(options_of(index)).facts());
  return devices;
}

std::unique_ptr<Accelerator> make_accelerator(const AcceleratorOptions& options) {
  if (options.index < 0 || options.index >= device_count())
    fail(ExitCode::no_device, "host accelerator: no device {} among {}", options.index, device_count());
  return std::make_unique<testing::HostAccelerator>(options_of(options.index));
}

std::string accelerator_driver() {
  return "";
}

std::vector<std::pair<std::string, std::string>> accelerator_libraries() {
  return {{"host accelerator", "1"}};
}

}  // namespace lockstep::device
