#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "device_cuda/add_two.h"
#include "device_cuda/standin_device.h"

// Memory, streams and graphs.
namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Accelerator, says_what_it_is) {
  if (!standin::is_linked()) GTEST_SKIP() << "not run: needs the stand-in for a GPU";
  const StandinDevice device("devices=2,memory_mb=64", 1);
  EXPECT_EQ(device->facts().index, 1);
  EXPECT_THAT(device->facts().unique_id,
              ::testing::MatchesRegex("GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"));
  EXPECT_EQ(device->facts().memory_bytes, 64 << 20);
  EXPECT_GT(device->facts().free_bytes, 0);
  EXPECT_LE(device->facts().free_bytes, 64 << 20);
  EXPECT_EQ(device->describe(),
            fmt::format("cuda ({}, {}, fp32)", device->facts().name, device->facts().architecture));
}

TEST(Accelerator, sees_each_device_once) {
  if (!standin::is_linked()) GTEST_SKIP() << "not run: needs the stand-in for a GPU";
  standin::configure("devices=3");
  const auto devices = device::visible_devices();
  ASSERT_EQ(devices.size(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(devices[static_cast<std::size_t>(i)].index, i);
  EXPECT_NE(devices[0].unique_id, devices[1].unique_id);
  EXPECT_NE(devices[1].unique_id, devices[2].unique_id);
  EXPECT_EQ(devices[1].peers, (std::vector<int>{0, 2}));
}

TEST(Accelerator, says_how_much_is_free_when_memory_runs_out) {
  if (!standin::is_linked()) GTEST_SKIP() << "not run: needs the stand-in for a GPU";
  const StandinDevice device("memory_mb=64");
  const auto half = device->allocate(32 << 20);
  try {
    const auto more = device->allocate(40 << 20);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    EXPECT_THAT(error.what(), HasSubstr("cudaMalloc failed: device 0 has no room for 40.0 MiB"));
    EXPECT_THAT(error.what(), HasSubstr("of its 64.0 MiB are free"));
  }
  // The failure is not left behind for the next call.
  const auto values = device.upload(std::vector<float>{1, 2});
  add(*device, device.stream(), values.span(), values.span(), values.span());
  EXPECT_EQ(device.download(values), (std::vector<float>{2, 4}));
}

TEST(Accelerator, gives_memory_of_no_bytes) {
  const StandinDevice device;
  EXPECT_EQ(device->allocate(0)->data(), nullptr);
  EXPECT_EQ(device->allocate_pinned(0)->bytes(), 0);
  EXPECT_EQ(device->make_array<float>(0).span().count, 0);
}

TEST(Accelerator, works_on_its_own_device_on_any_thread) {
  if (!standin::is_linked()) GTEST_SKIP() << "not run: needs the stand-in for a GPU";
  const StandinDevice device("devices=2", 1);
  const auto values = device.upload(std::vector<float>{1, 2, 3});
  // A new thread's device is 0.
  std::thread([&] {
    const auto sum = device->make_array<float>(3);
    const auto stream = device->make_stream();
    add(*device, *stream, values.span(), values.span(), sum.span());
    stream->synchronize();
    EXPECT_EQ(device.download(sum), (std::vector<float>{2, 4, 6}));
  }).join();
}

TEST(Stream, copies_in_all_directions_and_clears) {
  const StandinDevice device;
  const auto first = device.upload(std::vector<int>{1, 2, 3, 4});
  const auto second = device->make_array<int>(4);
  device::copy<int>(device.stream(), second.span(), first.span());
  device.stream().clear(second.span().data + 1, 2 * sizeof(int));
  device.stream().clear(second.span().data, 0);
  EXPECT_EQ(device.download(second), (std::vector<int>{1, 0, 0, 4}));
}

TEST(Stream, is_idle_in_the_end) {
  const StandinDevice device("seed=0");  // as late as possible
  const auto values = device.upload(std::vector<float>(100, 1));
  for (int i = 0; i < 5; ++i) add(*device, device.stream(), values.span(), values.span(), values.span());
  ASSERT_FALSE(device.stream().idle());
  // That it was not idle is no error that the next kernel would report.
  add(*device, device.stream(), values.span(), values.span(), values.span());
  int polls = 0;
  while (!device.stream().idle()) ASSERT_LT(++polls, 1000);
  EXPECT_EQ(device.download(values), std::vector<float>(100, 64));
}

class AnyOrder : public ::testing::TestWithParam<int> {
 protected:
  StandinDevice device_{fmt::format("seed={}", GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Seeds, AnyOrder, ::testing::Range(1, 21));

TEST_P(AnyOrder, streams_wait_for_each_other) {
  const auto other = device_->make_stream();
  const auto values = device_.upload(std::vector<float>{1});
  // To and fro, so that an event is recorded anew while waits for its earlier records are still queued.
  for (int i = 0; i < 10; ++i) {
    add(*device_, device_.stream(), values.span(), values.span(), values.span());
    other->wait_for(device_.stream());
    add(*device_, *other, values.span(), values.span(), values.span());
    device_.stream().wait_for(*other);
  }
  EXPECT_EQ(device_.download(values), std::vector<float>{1 << 20});
}

TEST_P(AnyOrder, a_graph_keeps_what_its_streams_waited_for) {
  const auto other = device_->make_stream();
  const auto input = device_->make_array<float>(1);
  const auto left = device_->make_array<float>(1);
  const auto right = device_->make_array<float>(1);
  const auto graph = device_.stream().capture([&] {
    add(*device_, device_.stream(), input.span(), input.span(), input.span());
    other->wait_for(device_.stream());
    add(*device_, *other, input.span(), input.span(), left.span());
    add(*device_, device_.stream(), input.span(), input.span(), right.span());
    device_.stream().wait_for(*other);
    add(*device_, device_.stream(), left.span(), right.span(), input.span());
  });
  device_.store(input, {1});
  for (int launch = 0; launch < 3; ++launch) graph->launch(device_.stream());
  EXPECT_EQ(device_.download(input), std::vector<float>{8 * 8 * 8});
}

TEST(Graph, of_nothing_may_be_launched) {
  const StandinDevice device;
  const auto graph = device.stream().capture([] {});
  graph->launch(device.stream());
  device.stream().synchronize();
}

TEST(Graph, is_given_up_when_the_work_throws) {
  const StandinDevice device;
  const auto values = device.upload(std::vector<float>{1});
  EXPECT_THROW(static_cast<void>(device.stream().capture([&] {
                 add(*device, device.stream(), values.span(), values.span(), values.span());
                 throw std::runtime_error("no");
               })),
               std::runtime_error);
  // Nothing was done, and the stream works as before.
  EXPECT_EQ(device.download(values), std::vector<float>{1});
}

TEST(Graph, is_refused_while_a_stream_is_left_behind) {
  const StandinDevice device;
  const auto other = device->make_stream();
  const auto values = device.upload(std::vector<float>{1});
  try {
    static_cast<void>(device.stream().capture([&] {
      other->wait_for(device.stream());
      add(*device, *other, values.span(), values.span(), values.span());
    }));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), StartsWith("CUDA: cudaStreamEndCapture failed: "));
    EXPECT_THAT(error.what(), HasSubstr("cudaErrorStreamCaptureUnjoined"));
  }
}

TEST(Graph, refuses_work_that_waits) {
  const StandinDevice device;
  EXPECT_THROW(static_cast<void>(device.stream().capture([&] { device.stream().synchronize(); })), Error);
  device.stream().synchronize();
}

TEST(Accelerator, names_its_libraries) {
  const auto libraries = device::accelerator_libraries();
  ASSERT_EQ(libraries.size(), 3U);
  EXPECT_EQ(libraries[0].first, "CUDA");
  EXPECT_THAT(libraries[0].second, ::testing::MatchesRegex("[0-9]+\\.[0-9]+"));
  EXPECT_EQ(libraries[1].first, "cuBLAS");
  EXPECT_EQ(libraries[2].first, "cuDNN");
  EXPECT_THAT(libraries[2].second, ::testing::MatchesRegex("9\\.[0-9]+\\.[0-9]+"));
}

}  // namespace
}  // namespace lockstep::testing
