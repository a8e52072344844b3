// main() of the tests that run on a real GPU: without one they are not run, which ctest is told by the
// status.
#include <gtest/gtest.h>

#include <cstdio>

#include "base/error.h"
#include "comm/session.h"
#include "device/accelerator.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (::testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  try {
    static_cast<void>(lockstep::device::make_accelerator({.index = 0}));
  } catch (const lockstep::Error& error) {
    if (error.code() != lockstep::ExitCode::no_device) throw;
    constexpr int not_run = 77;
    std::printf("not run: %s\n", error.what());
    return not_run;
  }
  const lockstep::comm::Session session(argc, argv);
  return RUN_ALL_TESTS();
}
