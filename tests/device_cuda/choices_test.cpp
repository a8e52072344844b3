#include "device/cuda/choices.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace lockstep::testing {
namespace {

using device::cuda::Choices;

/// Plans two layers of three passes as a plan does; returns the text.
std::string follow(const std::string& recorded) {
  Choices choices(recorded);
  int next = 10;
  for (const auto& [layer, pass] :
       {std::pair("a", "forward"), {"a", "filter"}, {"b: c; d", "forward"}, {"b: c; d", "data"}}) {
    const auto number = choices.recorded(layer, pass);
    choices.add(layer, pass, number ? *number : next++);
  }
  choices.finish();
  return choices.text();
}

TEST(Choices, are_a_line_that_is_read_back) {
  const std::string chosen = follow("");
  EXPECT_EQ(chosen, "a: forward 10 filter 11; b: c; d: forward 12 data 13");
  EXPECT_EQ(follow(chosen), chosen);
  EXPECT_EQ(follow("a: forward 1 filter 0; b: c; d: forward 7 data 3"),
            "a: forward 1 filter 0; b: c; d: forward 7 data 3");
}

TEST(Choices, of_another_network_are_refused) {
  for (const char* const other : {"a: forward 1", "x: forward 1 filter 0; b: c; d: forward 7 data 3",
                                  "a: forward one", "a: forward 1 data 0; b: c; d: forward 7 data 3",
                                  "a: forward 1 filter 0; b: c; d: forward 7 data 3 x",
                                  "a: forward 01 filter 0; b: c; d: forward 7 data 3", "nonsense"}) {
    try {
      follow(other);
      FAIL() << "accepted " << other;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::no_device);
      EXPECT_NE(std::string(error.what()).find(other), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
