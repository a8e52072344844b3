#include "device/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace lockstep::testing {

std::vector<float> random_floats(std::size_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<std::int32_t>(generator())) * 0x1p-31F;
  return values;
}

reference::Values to_double(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

reference::Values absolute(reference::Values values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

void expect_within(const std::vector<float>& actual, const reference::Values& expected,
                   const reference::Values& magnitude, double factor, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double bound = factor * 0x1p-24 * magnitude[i];
    // Written so that a NaN fails.
    ASSERT_TRUE(std::abs(actual[i] - expected[i]) <= bound)
        << what << "[" << i << "] is " << actual[i] << ", expected " << expected[i] << " within " << bound;
  }
}

}  // namespace lockstep::testing
