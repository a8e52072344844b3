#include "optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "optim/integer_power.h"

namespace lockstep::optim {
namespace {

constexpr double base = 0.5;
constexpr std::int64_t steps_per_epoch = 7;
constexpr std::int64_t epochs = 5;
constexpr std::int64_t steps = steps_per_epoch * epochs;

double rate(const config::Schedule& schedule, std::int64_t step) {
  return learning_rate(schedule, base, step, steps_per_epoch, epochs);
}

TEST(Schedule, ConstantKeepsTheBaseRate) {
  const config::Schedule schedule = {config::ConstantSchedule{}};
  for (const std::int64_t step : {std::int64_t{0}, std::int64_t{6}, steps - 1})
    EXPECT_EQ(rate(schedule, step), base);
}

TEST(Schedule, StepDropsAfterEachSoManyEpochs) {
  const config::Schedule schedule = {config::StepSchedule{.every = 2, .factor = 0.25}};
  EXPECT_EQ(rate(schedule, 0), base);
  EXPECT_EQ(rate(schedule, 2 * steps_per_epoch - 1), base);
  EXPECT_EQ(rate(schedule, 2 * steps_per_epoch), base * 0.25);
  EXPECT_EQ(rate(schedule, 4 * steps_per_epoch - 1), base * 0.25);
  EXPECT_EQ(rate(schedule, 4 * steps_per_epoch), base * 0.0625);
  EXPECT_EQ(rate(schedule, steps - 1), base * 0.0625);
}

TEST(Schedule, ExponentialDropsAfterEachEpoch) {
  const config::Schedule schedule = {config::ExponentialSchedule{.factor = 0.5}};
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    const double expected = base / static_cast<double>(1 << epoch);
    EXPECT_EQ(rate(schedule, epoch * steps_per_epoch), expected) << epoch;
    EXPECT_EQ(rate(schedule, (epoch + 1) * steps_per_epoch - 1), expected) << epoch;
  }
}

TEST(Schedule, CosineFallsFromTheBaseRateToItsFinalFactor) {
  const config::Schedule schedule = {config::CosineSchedule{.final_factor = 0.125}};
  EXPECT_EQ(rate(schedule, 0), base);
  EXPECT_EQ(rate(schedule, steps / 2), base * (1 + 0.125) / 2) << "35 steps have a middle one";
  EXPECT_EQ(rate(schedule, steps - 1), base * 0.125);
  for (std::int64_t step = 0; step < steps; ++step) {
    const double progress = static_cast<double>(step) / (steps - 1);
    EXPECT_NEAR(rate(schedule, step),
                base * (0.125 + 0.875 * (1 + std::cos(std::numbers::pi * progress)) / 2), 1e-15);
  }
}

TEST(Schedule, CosineToZeroEndsAtZero) {
  EXPECT_EQ(rate({config::CosineSchedule{}}, steps - 1), 0);
}

TEST(Schedule, LinearFallsInEqualSteps) {
  const config::Schedule schedule = {config::LinearSchedule{.final_factor = 0.1}};
  EXPECT_EQ(rate(schedule, 0), base);
  EXPECT_EQ(rate(schedule, steps - 1), base * 0.1);
  for (std::int64_t step = 1; step < steps; ++step)
    EXPECT_NEAR(rate(schedule, step - 1) - rate(schedule, step), base * 0.9 / (steps - 1), 1e-15);
}

TEST(Schedule, WarmUpRisesToTheScheduleInItsLastStep) {
  const config::Schedule schedule = {config::ConstantSchedule{}, 4};
  EXPECT_EQ(rate(schedule, 0), base * 0.25);
  EXPECT_EQ(rate(schedule, 1), base * 0.5);
  EXPECT_EQ(rate(schedule, 2), base * 0.75);
  EXPECT_EQ(rate(schedule, 3), base);
  EXPECT_EQ(rate(schedule, 4), base);
}

TEST(Schedule, WarmUpMultipliesWhateverTheScheduleSays) {
  const std::int64_t warmup = 10;  // over the border of the first epoch
  const config::Schedule plain = {config::ExponentialSchedule{.factor = 0.5}};
  const config::Schedule warmed = {config::ExponentialSchedule{.factor = 0.5}, warmup};
  for (std::int64_t step = 0; step < steps; ++step) {
    const double share = step < warmup ? static_cast<double>(step + 1) / warmup : 1;
    EXPECT_EQ(rate(warmed, step), rate(plain, step) * share) << step;
  }
}

TEST(Schedule, OfOneStepIsTheBaseRate) {
  EXPECT_EQ(learning_rate({config::CosineSchedule{}}, base, 0, 1, 1), base);
  EXPECT_EQ(learning_rate({config::LinearSchedule{}}, base, 0, 1, 1), base);
}

TEST(Schedule, RefusesStepsBeyondTheTraining) {
  EXPECT_THROW(rate({config::ConstantSchedule{}}, steps), Error);
  EXPECT_THROW(rate({config::ConstantSchedule{}}, -1), Error);
}

TEST(IntegerPower, MultipliesSoManyTimes) {
  EXPECT_EQ(integer_power(3, 0), 1);
  EXPECT_EQ(integer_power(3, 1), 3);
  EXPECT_EQ(integer_power(3, 13), 1'594'323);
  EXPECT_EQ(integer_power(-0.5, 3), -0.125);
  EXPECT_NEAR(integer_power(0.999, 1000), std::pow(0.999, 1000), 1e-14);
  EXPECT_EQ(integer_power(0.9, 1'000'000'000'000), 0);
}

}  // namespace
}  // namespace lockstep::optim
