#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "control.h"
#include "device/accelerator.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

/// The message of the Error(no_device) that making an accelerator throws.
std::string why_no_device(std::string_view settings, int index = 0) {
  standin::configure(settings);
  try {
    static_cast<void>(device::make_accelerator({.index = index}));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::no_device);
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << "one line";
    return error.what();
  }
  return "no error";
}

TEST(NoDevice, without_a_driver) {
  EXPECT_THAT(why_no_device("driver=none"), HasSubstr("needs NVIDIA's driver, and this machine has none"));
  EXPECT_EQ(device::accelerator_driver(), "");
}

TEST(NoDevice, with_a_driver_that_is_too_old) {
  EXPECT_THAT(
      why_no_device("driver=12020"),
      HasSubstr(
          "driver on this machine is too old: it knows CUDA up to 12.2, and this program was built with "
          "CUDA 13.0"));
}

TEST(NoDevice, without_a_device) {
  EXPECT_THAT(why_no_device("devices=0"), HasSubstr("needs a GPU, and this process sees none"));
  EXPECT_TRUE(device::visible_devices().empty());
}

TEST(NoDevice, that_has_this_number) {
  EXPECT_EQ(why_no_device("devices=2", 2), "there is no GPU 2: this process sees 2, counted from 0");
  EXPECT_EQ(why_no_device("devices=2", -1), "there is no GPU -1: this process sees 2, counted from 0");
}

}  // namespace
}  // namespace lockstep::testing
