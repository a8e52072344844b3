#include "base/error.h"
#include "device/accelerator.h"

// What a program without accelerators has: see src/device/CMakeLists.txt.
namespace lockstep::device {
namespace {

constexpr const char* built_without =
    "this program was built without CUDA: build with -DLOCKSTEP_CUDA=ON where NVIDIA's toolkit and cuDNN are "
    "installed, or use device.kind=cpu";

}  // namespace

std::vector<DeviceFacts> visible_devices() {
  fail(ExitCode::no_device, "{}", built_without);
}

std::unique_ptr<Accelerator> make_accelerator(const AcceleratorOptions&) {
  fail(ExitCode::no_device, "{}", built_without);
}

std::vector<std::pair<std::string, std::string>> accelerator_libraries() {
  return {};
}

std::string accelerator_driver() {
  return "";
}

}  // namespace lockstep::device
