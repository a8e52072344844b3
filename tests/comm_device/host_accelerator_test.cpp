// The test accelerator itself, as far as tests of other things rely on it.
#include "host_accelerator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "device_cuda/add_two.h"

namespace lockstep::testing {
namespace {

TEST(HostAccelerator, AllocatesNaNUntilNothingIsLeft) {
  HostAccelerator accelerator({.memory_bytes = 4096});
  auto all = accelerator.allocate(4096);
  EXPECT_TRUE(std::isnan(*reinterpret_cast<const float*>(all->data())));
  EXPECT_THROW(static_cast<void>(accelerator.allocate(1)), Error);
  EXPECT_NO_THROW(static_cast<void>(accelerator.allocate_pinned(8192)));
  all.reset();
  EXPECT_NO_THROW(static_cast<void>(accelerator.allocate(4096)));
}

TEST(HostAccelerator, ReplaysWhatItsStreamsRecorded) {
  HostAccelerator accelerator;
  const auto stream = accelerator.make_stream();
  const auto branch = accelerator.make_stream();
  const auto a = accelerator.make_array<float>(8);
  const auto b = accelerator.make_array<float>(8);
  auto pinned = accelerator.make_pinned<float>(8);
  const auto graph = stream->capture([&] {
    branch->wait_for(*stream);
    add(accelerator, *branch, a.span(), a.span(), b.span());
    stream->wait_for(*branch);
    add(accelerator, *stream, b.span(), b.span(), a.span());
  });
  std::iota(pinned.span().begin(), pinned.span().end(), 1.0F);
  device::copy_in<float>(*stream, a.span(), pinned.span());
  graph->launch(*stream);
  graph->launch(*stream);
  device::copy_out<float>(*stream, pinned.span(), a.span());
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(pinned.span()[i], 16.0F * static_cast<float>(i + 1));
}

TEST(HostAccelerator, StopsAtMemoryOfTheWrongKind) {
  HostAccelerator accelerator;
  const auto stream = accelerator.make_stream();
  const auto array = accelerator.make_array<float>(8);
  std::vector<float> pageable(8);
  EXPECT_THROW(stream->copy_out(pageable.data(), array.span().data, 32), Error);
}

TEST(HostAccelerator, StopsAtACaptureThatIsNotJoined) {
  HostAccelerator accelerator;
  const auto stream = accelerator.make_stream();
  const auto branch = accelerator.make_stream();
  EXPECT_THROW(static_cast<void>(stream->capture([&] { branch->wait_for(*stream); })), Error);
}

}  // namespace
}  // namespace lockstep::testing
