#include "config/suggest.h"

#include <gtest/gtest.h>

#include <array>

namespace lockstep::config {
namespace {

using Words = std::array<std::string_view, 4>;
constexpr Words words{"epochs", "batch", "max_pool", "dir"};

TEST(nearest, finds_slips) {
  EXPECT_EQ(nearest("epoch", words), "epochs");
  EXPECT_EQ(nearest("epohcs", words), "epochs");
  EXPECT_EQ(nearest("bathc", words), "batch");
  EXPECT_EQ(nearest("MaxPool", words), "max_pool");
  EXPECT_EQ(nearest("max_pool2d", words), "max_pool");
  EXPECT_EQ(nearest("dirs", words), "dir");
}

TEST(nearest, knows_what_others_call_things) {
  const std::array<std::string_view, 3> layers{"dense", "conv2d", "dropout"};
  EXPECT_EQ(nearest("Linear", layers), "dense");
  EXPECT_EQ(nearest("conv", layers), "conv2d");
  EXPECT_EQ(nearest("batch_size", words), "batch");
  EXPECT_EQ(nearest("linear", words), "") << "nothing of that kind here";
}

TEST(nearest, is_silent_about_other_words) {
  EXPECT_EQ(nearest("steps", words), "");
  EXPECT_EQ(nearest("do", words), "");
  EXPECT_EQ(nearest("", words), "");
  EXPECT_EQ(nearest(std::string(100'000, 'e'), words), "");
}

TEST(nearest, prefers_the_closest_and_then_the_first) {
  const std::array<std::string_view, 3> keys{"images", "image", "imager"};
  EXPECT_EQ(nearest("image", keys), "image");
  EXPECT_EQ(nearest("imagex", keys), "images");
}

TEST(advice_on, is_about_what_has_no_name_here) {
  EXPECT_EQ(advice_on("Softmax"), "leave it out, the loss softmax_cross_entropy takes raw scores");
  EXPECT_EQ(advice_on("val_split"), advice_on("validation_split"));
  EXPECT_EQ(advice_on("epochs"), "");
  EXPECT_EQ(advice_on(""), "");
}

TEST(join_words, reads_as_a_sentence) {
  EXPECT_EQ(join_words(std::span(words).first(1), "or"), "epochs");
  EXPECT_EQ(join_words(std::span(words).first(2), "or"), "epochs or batch");
  EXPECT_EQ(join_words(words, "and"), "epochs, batch, max_pool and dir");
}

}  // namespace
}  // namespace lockstep::config
