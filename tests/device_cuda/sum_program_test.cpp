#include "device/cuda/sum_program.h"

#include <gtest/gtest.h>

#include <bit>

#include "base/error.h"

namespace lockstep::testing {
namespace {

using device::TreeAddition;
using device::cuda::make_sum_program;
using device::cuda::SumTerm;

TEST(SumProgram, pushes_and_adds) {
  // (0 + 1) + (2 + 3)
  const std::vector<TreeAddition> additions = {{0, 1}, {2, 3}, {0, 2}};
  const auto program = make_sum_program(4, additions);
  EXPECT_EQ(program.terms, (std::vector<SumTerm>{{0, 0}, {1, 1}, {2, 0}, {3, 2}}));
  EXPECT_EQ(program.depth, 3);
}

TEST(SumProgram, begins_with_what_needs_more_of_the_stack) {
  // 0 + (1 + 2): left to right, three numbers would wait at once.
  const std::vector<TreeAddition> additions = {{1, 2}, {0, 1}};
  const auto program = make_sum_program(3, additions);
  EXPECT_EQ(program.terms, (std::vector<SumTerm>{{1, 0}, {2, 1}, {0, 1}}));
  EXPECT_EQ(program.depth, 2);
}

TEST(SumProgram, of_one_partial_sum_adds_nothing) {
  const auto program = make_sum_program(1, {});
  EXPECT_EQ(program.terms, (std::vector<SumTerm>{{0, 0}}));
}

TEST(SumProgram, keeps_the_stack_low) {
  for (int count = 2; count <= 4096; count *= 2) {
    std::vector<TreeAddition> balanced;
    for (int width = 1; width < count; width *= 2)
      for (int i = 0; i < count; i += 2 * width) balanced.push_back({i, i + width});
    EXPECT_EQ(make_sum_program(count, balanced).depth, std::bit_width(static_cast<unsigned>(count)));
    std::vector<TreeAddition> chain;
    for (int i = count - 1; i > 0; --i) chain.push_back({i - 1, i});
    EXPECT_EQ(make_sum_program(count, chain).depth, 2);
  }
}

TEST(SumProgram, refuses_what_is_no_tree) {
  using Additions = std::vector<TreeAddition>;
  EXPECT_THROW(make_sum_program(0, {}), Error);
  EXPECT_THROW(make_sum_program(2, {}), Error);
  EXPECT_THROW(make_sum_program(2, Additions{{0, 2}}), Error);
  EXPECT_THROW(make_sum_program(2, Additions{{0, 0}}), Error);
  EXPECT_THROW(make_sum_program(2, Additions{{1, 0}}), Error);
  EXPECT_THROW(make_sum_program(3, Additions{{0, 1}, {2, 1}}), Error);
}

}  // namespace
}  // namespace lockstep::testing
