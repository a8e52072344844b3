#include "metrics/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lockstep::metrics {
namespace {

TEST(Format, GroupsThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(428330), "428,330");
  EXPECT_EQ(grouped(1234567890), "1,234,567,890");
  EXPECT_EQ(grouped(-100), "-100");
  EXPECT_EQ(grouped(-12345), "-12,345");
  EXPECT_EQ(grouped(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Format, Percent) {
  EXPECT_EQ(percent(0), "0.00%");
  EXPECT_EQ(percent(0.98725), "98.72%");
  EXPECT_EQ(percent(1), "100.00%");
  EXPECT_EQ(percent(std::nan("")), "nan");
}

TEST(Format, Durations) {
  EXPECT_EQ(duration(0), "0.00 s");
  EXPECT_EQ(duration(9.994), "9.99 s");
  EXPECT_EQ(duration(9.996), "10.0 s");
  EXPECT_EQ(duration(59.94), "59.9 s");
  EXPECT_EQ(duration(59.96), "1:00");
  EXPECT_EQ(duration(245), "4:05");
  EXPECT_EQ(duration(3599.6), "1:00:00");
  EXPECT_EQ(duration(3723), "1:02:03");
  EXPECT_EQ(duration(360000), "100:00:00");
  EXPECT_EQ(duration(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(duration(-1), "?");
  EXPECT_EQ(duration(1e300).substr(0, 3), "888");
}

TEST(Format, Bytes) {
  EXPECT_EQ(bytes(0), "0 B");
  EXPECT_EQ(bytes(999), "999 B");
  EXPECT_EQ(bytes(1000), "1.0 kB");
  EXPECT_EQ(bytes(1713320), "1.7 MB");
  EXPECT_EQ(bytes(999949), "999.9 kB");
  EXPECT_EQ(bytes(999950), "1.0 MB");
  EXPECT_EQ(bytes(std::numeric_limits<std::int64_t>::max()), "9223.4 PB");
}

TEST(Format, CountsWithTheirNouns) {
  EXPECT_EQ(counted(0, "core"), "0 cores");
  EXPECT_EQ(counted(1, "core"), "1 core");
  EXPECT_EQ(counted(2000, "core"), "2,000 cores");
}

}  // namespace
}  // namespace lockstep::metrics
