#include "device/cpu/instruction_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "device/backend.h"

namespace lockstep::device::cpu {
namespace {

using ::testing::ExitedWithCode;
using ::testing::HasSubstr;

std::vector<InstructionSet> all_sets() {
  std::vector<InstructionSet> sets;
  for (const auto& [set, name] : config::instruction_set_names)
    if (set != InstructionSet::automatic) sets.push_back(set);
  return sets;
}

bool at_most(InstructionSet lesser, InstructionSet greater) {
  return has(features_of(greater), lesser);
}

TEST(InstructionSetOrder, is_that_of_onednn) {
  using enum InstructionSet;
  for (const auto& chain :
       {std::vector{sse41, avx, avx2, avx2_vnni},
        std::vector{avx2, avx512_core, avx512_core_vnni, avx512_core_bf16, avx512_core_amx}})
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
      EXPECT_TRUE(at_most(chain[i], chain[i + 1])) << name_of(chain[i]);
      EXPECT_FALSE(at_most(chain[i + 1], chain[i])) << name_of(chain[i]);
    }
  EXPECT_FALSE(at_most(avx2_vnni, avx512_core_amx));
  EXPECT_FALSE(at_most(avx512_core, avx2_vnni));
}

TEST(InstructionSetOrder, has_a_greatest_one_below_any_two) {
  for (const InstructionSet a : all_sets())
    for (const InstructionSet b : all_sets()) {
      SCOPED_TRACE(std::string(name_of(a)) + " " + std::string(name_of(b)));
      const InstructionSet below = greatest_within(features_of(a) & features_of(b));
      EXPECT_TRUE(at_most(below, a) && at_most(below, b));
      for (const InstructionSet other : all_sets())
        if (at_most(other, a) && at_most(other, b)) {
          EXPECT_TRUE(at_most(other, below)) << name_of(other);
        }
    }
  using enum InstructionSet;
  EXPECT_EQ(greatest_within(features_of(avx2_vnni) & features_of(avx512_core_bf16)), avx2);
}

TEST(InstructionSetOrder, prefers_wider_registers_where_two_do_not_compare) {
  using enum InstructionSet;
  EXPECT_EQ(greatest_within(features_of(avx2_vnni) | features_of(avx512_core)), avx512_core);
}

TEST(InstructionSetOrder, begins_with_sse41) {
  try {
    (void)greatest_within(0);
    FAIL() << "a processor without any";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::no_device);
  }
}

class LimitOfTheEnvironment : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const char* variable : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}) ::unsetenv(variable);
  }
  void TearDown() override { SetUpTestSuite(); }

  static InstructionSet allowed(InstructionSet processor) {
    return greatest_within(allowed_features(features_of(processor)));
  }
};

TEST_F(LimitOfTheEnvironment, lowers_what_a_processor_has) {
  using enum InstructionSet;
  EXPECT_EQ(allowed(avx512_core_bf16), avx512_core_bf16);
  ::setenv("DNNL_MAX_CPU_ISA", "AVX512_CORE", 1);
  EXPECT_EQ(allowed(avx512_core_bf16), avx512_core);
  ::setenv("ONEDNN_MAX_CPU_ISA", "avx2_VNNI", 1);  // in any case, and before the older name
  EXPECT_EQ(allowed(avx512_core_bf16), avx2);
  EXPECT_EQ(allowed(sse41), sse41);
  ::setenv("ONEDNN_MAX_CPU_ISA", "ALL", 1);
  EXPECT_EQ(allowed(avx512_core_bf16), avx512_core_bf16);
  ::setenv("ONEDNN_MAX_CPU_ISA", "", 1);
  EXPECT_EQ(allowed(avx512_core_bf16), avx512_core);
}

TEST_F(LimitOfTheEnvironment, must_be_a_name) {
  ::setenv("ONEDNN_MAX_CPU_ISA", "AVX3", 1);
  try {
    (void)allowed_features(processor_features());
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_config);
    EXPECT_THAT(error.what(), HasSubstr("ONEDNN_MAX_CPU_ISA is AVX3"));
    EXPECT_THAT(error.what(), HasSubstr("sse41, avx, avx2, "));
  }
}

/// oneDNN takes its decision once in a process, so these look in processes of their own.
class OneDnn : public ::testing::Test {
 protected:
  OneDnn() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};
using OneDnnDeathTest = OneDnn;

[[noreturn]] void leave(bool well) {
  std::_Exit(well ? 0 : 1);
}

TEST_F(OneDnnDeathTest, computes_with_what_it_is_pinned_to) {
  int pinned = 0;
  for (const InstructionSet set : all_sets()) {
    if (!has(processor_features(), set)) continue;
    ++pinned;
    EXPECT_EXIT(
        {
          ::setenv("ONEDNN_MAX_CPU_ISA", "SSE41", 1);  // which does not count then
          pin_instruction_set(set);
          pin_instruction_set(set);
          leave(cpu_instruction_set() == name_of(set) &&
                make_cpu_backend()->describe() == "cpu (" + std::string(name_of(set)) + ")");
        },
        ExitedWithCode(0), "")
        << name_of(set);
  }
  EXPECT_GE(pinned, 1);
}

TEST_F(OneDnnDeathTest, is_refused_another_once_it_is_in_use) {
  if (greatest_within(processor_features()) == InstructionSet::sse41) GTEST_SKIP() << "not run: one set only";
  EXPECT_EXIT(
      {
        pin_instruction_set(InstructionSet::sse41);
        try {
          pin_instruction_set(greatest_within(processor_features()));
        } catch (const Error& error) {
          leave(error.code() == ExitCode::internal);
        }
        leave(false);
      },
      ExitedWithCode(0), "");
}

/// What Lockstep takes a processor for is what oneDNN does. (Version 3 has finer names for some.)
TEST_F(OneDnnDeathTest, finds_the_same_in_this_processor) {
  EXPECT_EXIT(
      {
        ::unsetenv("ONEDNN_MAX_CPU_ISA");
        const std::string its = cpu_instruction_set();
        const bool known = std::ranges::any_of(config::instruction_set_names,
                                               [&](const auto& pair) { return pair.second == its; });
        leave(!known || its == name_of(greatest_within(processor_features())));
      },
      ExitedWithCode(0), "");
}

}  // namespace
}  // namespace lockstep::device::cpu
