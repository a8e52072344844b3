#include "base/log.h"

#include <gtest/gtest.h>

#include <string>

namespace lockstep {
namespace {

/// What `write` puts on standard error.
template <class F>
std::string written_by(F&& write) {
  ::testing::internal::CaptureStderr();
  write();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, WarningsAndErrorsAreLinesOnStandardError) {
  EXPECT_EQ(written_by([] { log::warning("{} cores stay idle", 3); }),
            "lockstep: warning: 3 cores stay idle\n");
  EXPECT_EQ(written_by([] { log::error("no file '{}'", "x.h5"); }), "lockstep: no file 'x.h5'\n");
}

TEST(Log, NamesTheRankOnceItIsKnown) {
  log::set_rank(3);
  EXPECT_EQ(written_by([] { log::error("disk full"); }), "lockstep: rank 3: disk full\n");
  EXPECT_EQ(written_by([] { log::warning("slow"); }), "lockstep: rank 3: warning: slow\n");
}

TEST(Log, BracesInTextsAreNotFormats) {
  const std::string text = written_by([] { log::write_error("{} {0} {:x}"); });
  EXPECT_NE(text.find("{} {0} {:x}\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace lockstep
