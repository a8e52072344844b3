#include "io/hash.h"

#include <gtest/gtest.h>

#include <string_view>

namespace lockstep::io {
namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(Hash, IsThePublishedXxh3OfNothing) {
  EXPECT_EQ(hash_text({}), "xxh3-64:2d06800538d394c2");
}

TEST(Hash, DoesNotDependOnHowTheBytesArrive) {
  const std::string text(5000, 'x');
  Hasher hasher;
  hasher.update(bytes(text).first(1));
  hasher.update(bytes(text).subspan(1, 2998));
  hasher.update(bytes(text).subspan(2999));
  EXPECT_EQ(hasher.text(), hash_text(bytes(text)));
}

TEST(Hash, NoticesOneBit) {
  EXPECT_NE(hash_text(bytes("lockstep")), hash_text(bytes("lockstdp")));
}

}  // namespace
}  // namespace lockstep::io
