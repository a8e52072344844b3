#include "config/rules.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace lockstep::config {
namespace {

TEST(parse_integer, reads_the_whole_range) {
  EXPECT_EQ(parse_integer<std::int64_t>("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parse_integer<std::int64_t>("9223372036854775807"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parse_integer<std::int64_t>("9223372036854775808"), std::nullopt);
  EXPECT_EQ(parse_integer<std::int64_t>("+5"), 5);
  EXPECT_EQ(parse_integer<std::int64_t>("-0"), 0);
  EXPECT_EQ(parse_integer<std::uint64_t>("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parse_integer<std::uint64_t>("-1"), std::nullopt);
}

TEST(parse_integer, refuses_other_writings) {
  for (const char* bad :
       {"", "+", "-", "+-1", "--1", "01", "-01", "1 ", " 1", "1.", "1e1", "1_0", "1,0", "0x1", "0o7"})
    EXPECT_EQ(parse_integer<std::int64_t>(bad), std::nullopt) << bad;
}

TEST(parse_number, reads_the_usual_forms) {
  EXPECT_EQ(parse_number("1e-3"), 0.001);
  EXPECT_EQ(parse_number("-.5E+1"), -5.0);
  EXPECT_EQ(parse_number("+2."), 2.0);
  EXPECT_EQ(parse_number("1e05"), 1e5);
  EXPECT_EQ(parse_number("0.1"), 0.1);
  EXPECT_EQ(parse_number("-0"), 0.0);
}

TEST(parse_number, refuses_what_is_no_finite_number) {
  for (const char* bad : {"",     "+",        ".",     "e5",   "1e",  "1e+", "1e5.5", "nan",   "-nan", "inf",
                          ".inf", "infinity", "1e999", "00.5", "-01", "1_0", "0x1",   "1.2.3", "1 ",   "+-1"})
    EXPECT_EQ(parse_number(bad), std::nullopt) << bad;
}

TEST(numbers, bounds_belong_to_the_range_or_not) {
  const auto within = [](const Numbers& rule, const char* text) {
    return rule.decode(scalar_node(text)).has_value();
  };
  const Numbers half_open{at_least(0), below(1)};
  EXPECT_TRUE(within(half_open, "0"));
  EXPECT_FALSE(within(half_open, "1"));
  EXPECT_FALSE(within(half_open, "-1e-300"));
  const Numbers open_below{above(0), at_most(1)};
  EXPECT_FALSE(within(open_below, "0"));
  EXPECT_TRUE(within(open_below, "1"));
  EXPECT_FALSE(within(open_below, "1.0000001"));
}

TEST(numbers, are_written_shortest_and_read_back_exactly) {
  const Numbers any{at_least(-1e300), at_most(1e300)};
  for (const double value : {0.1, 1.0 / 3, 1.0 / 255, 1e-8, 1e22, 5e-324, -2.5, 0.0, 123456789.125, 1e-5})
    EXPECT_EQ(any.decode(Numbers::encode(value)), value) << value;
  EXPECT_EQ(Numbers::encode(0.1).text, "0.1");
  EXPECT_EQ(Numbers::encode(30.0).text, "30");
}

TEST(rules, decode_what_they_encode) {
  const PowersOfTwo powers{1, 4096};
  for (std::int64_t power = 1; power <= 4096; power *= 2)
    EXPECT_EQ(powers.decode(PowersOfTwo::encode(power)), power);
  const CountOrAuto count{8};
  for (std::int64_t n = 0; n <= 8; ++n) EXPECT_EQ(count.decode(CountOrAuto::encode(n)), n);
  EXPECT_EQ(count.decode(scalar_node("0")), std::nullopt);
  EXPECT_EQ(count.decode(scalar_node("9")), std::nullopt);
  const IndicesOrAuto indices{8};
  for (const std::vector<std::int64_t>& list : {std::vector<std::int64_t>{}, {0}, {8, 0, 8}, {3, 3}})
    EXPECT_EQ(indices.decode(IndicesOrAuto::encode(list)), list);
  const Extents extents{1, 9};
  for (std::int64_t h = 1; h <= 3; ++h)
    for (std::int64_t w = 1; w <= 3; ++w) EXPECT_EQ(extents.decode(Extents::encode({h, w})), (Extent2{h, w}));
  EXPECT_EQ(extents.decode(Extents::encode({1, 10})), std::nullopt);
  for (const Rows& rows : {Rows{0, 1}, {55000, 60000}, {3, std::numeric_limits<std::int64_t>::max()}})
    EXPECT_EQ(RowRange::decode(RowRange::encode(rows)), rows);
  for (const Rows& rows : {Rows{0, 0}, {5, 5}, {6, 5}, {-1, 5}})
    EXPECT_EQ(RowRange::decode(RowRange::encode(rows)), std::nullopt);
}

}  // namespace
}  // namespace lockstep::config
