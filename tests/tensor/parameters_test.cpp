#include "tensor/parameters.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace lockstep {
namespace {

/// Counts chosen so that tensors end before, on and after a cache line and a block.
Parameters example() {
  Parameters parameters;
  parameters.declare("fc.weight", {10, 3});         // 30 floats
  parameters.declare("fc.bias", {10});              // 10
  parameters.declare("conv.weight", {4, 1, 4, 4});  // 64, whole cache lines
  parameters.declare("conv.bias", {1000});
  return parameters;
}

TEST(Parameters, LieInOrderOfDeclarationOnCacheLines) {
  const Parameters parameters = example();
  ASSERT_EQ(parameters.all().size(), 4U);
  EXPECT_EQ(parameters[0].offset, 0);
  EXPECT_EQ(parameters[1].offset, 32);
  EXPECT_EQ(parameters[2].offset, 48);
  EXPECT_EQ(parameters[3].offset, 112);
  EXPECT_EQ(parameters[2].name, "conv.weight");
  EXPECT_EQ(parameters[2].shape, (Shape{4, 1, 4, 4}));
  for (const Parameter& parameter : parameters.all()) {
    EXPECT_EQ(parameter.offset % Parameters::alignment, 0) << parameter.name;
    EXPECT_EQ(parameter.count, parameter.shape.count()) << parameter.name;
  }
}

TEST(Parameters, DeclareReturnsTheIndex) {
  Parameters parameters;
  EXPECT_EQ(parameters.declare("a", {3}), 0);
  EXPECT_EQ(parameters.declare("b", {5}), 1);
  EXPECT_EQ(parameters[1].name, "b");
}

TEST(Parameters, SlabsAreWholeBlocks) {
  EXPECT_EQ(example().slab_size(), 2 * Parameters::block);  // 112 + 1000 floats
  Parameters one_block;
  one_block.declare("w", {Parameters::block});
  EXPECT_EQ(one_block.slab_size(), Parameters::block);
  one_block.declare("b", {1});
  EXPECT_EQ(one_block.slab_size(), 2 * Parameters::block);
}

TEST(Parameters, CountLeavesGapsOut) {
  EXPECT_EQ(example().count(), 30 + 10 + 64 + 1000);
}

TEST(Parameters, AtOffsetFindsTheTensorOfEachFloat) {
  const Parameters parameters = example();
  for (const Parameter& parameter : parameters.all())
    for (const std::int64_t offset : {parameter.offset, parameter.offset + parameter.count - 1})
      EXPECT_EQ(parameters.at_offset(offset).name, parameter.name) << offset;
  EXPECT_EQ(parameters.at_offset(31).name, "fc.weight") << "a gap belongs to the tensor before it";
  EXPECT_EQ(parameters.at_offset(parameters.slab_size() - 1).name, "conv.bias");
}

TEST(Parameters, OfNothingNeedNoSlab) {
  const Parameters none;
  EXPECT_EQ(none.slab_size(), 0);
  EXPECT_EQ(none.count(), 0);
  EXPECT_THROW(static_cast<void>(none.at_offset(0)), Error);
}

TEST(Parameters, RefuseANameTwice) {
  Parameters parameters = example();
  EXPECT_THROW(parameters.declare("fc.bias", {7}), Error);
  EXPECT_EQ(parameters.all().size(), 4U);
}

TEST(Parameters, ReachBeyond32Bits) {
  Parameters parameters;
  parameters.declare("large", {70'000, 70'000});
  parameters.declare("after", {3});
  EXPECT_EQ(parameters[1].offset, 4'900'000'000);
  EXPECT_EQ(parameters.at_offset(4'900'000'001).name, "after");
}

}  // namespace
}  // namespace lockstep
