#include <cuda_runtime.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "base/error.h"
#include "device/cuda/libraries.h"
#include "device_cuda/add_two.h"
#include "device_cuda/standin_device.h"
#include "tensor/parameters.h"

// Each call of the runtime fails once, whichever it is, and says so in one message; nothing is left behind.
namespace lockstep::testing {
namespace {

/// Waits for the devices, whatever fails: what is queued may still use what is about to be destroyed.
struct Drain {
  Drain() = default;
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  ~Drain() {
    // Again where a call fails on purpose; a device that has failed stays so.
    for (int tries = 0; tries < 3; ++tries) {
      for (const int device : {0, 1}) {
        static_cast<void>(cudaSetDevice(device));
        static_cast<void>(cudaDeviceSynchronize());
      }
    }
    static_cast<void>(cudaGetLastError());
  }
};

/// Everything that an accelerator can be asked for but networks.
void use_everything(int device_index) {
  const auto accelerator = device::make_accelerator({.index = device_index});
  const auto stream = accelerator->make_stream();
  const auto other = accelerator->make_stream();
  const std::int64_t count = 2 * Parameters::block;
  const auto a = accelerator->make_array<float>(count);
  const auto b = accelerator->make_array<float>(count);
  const auto flags = accelerator->make_array<std::uint32_t>(2);
  const auto hashes = accelerator->make_array<std::uint64_t>(2);
  const auto arguments = accelerator->make_array<device::UpdateArguments>(1);
  const auto pinned = accelerator->make_pinned<float>(count);
  std::ranges::fill(pinned.span(), 1.0F);
  std::unique_ptr<device::Graph> graph;
  const Drain drain;

  stream->clear(arguments.span().data, arguments.span().bytes());
  stream->clear(flags.span().data, flags.span().bytes());
  device::copy_in<float>(*stream, a.span(), pinned.span());
  device::copy<float>(*stream, b.span(), a.span());
  graph = stream->capture([&] {
    other->wait_for(*stream);
    accelerator->hash_blocks(*other, a.span(), 1, hashes.span());
    add(*accelerator, *stream, a.span(), b.span(), b.span());
    stream->wait_for(*other);
    accelerator->sgd_update(*stream, arguments.span(), b.span(), a.span(), {}, false, flags.span());
  });
  graph->launch(*stream);
  device::copy_out<float>(*stream, pinned.span(), b.span());
  while (!stream->idle()) {
  }
  stream->synchronize();
}

/// Failures of these come to light while something is destroyed: a warning, and no error.
const std::set<std::string, std::less<>> destroying = {"cudaFree",          "cudaFreeHost",
                                                       "cudaStreamDestroy", "cudaEventDestroy",
                                                       "cudaGraphDestroy",  "cudaGraphExecDestroy"};
/// Calls that only describe a failure or clear it, and counts of the stand-in that are no calls.
const std::set<std::string, std::less<>> no_failures = {"cudaGetErrorName", "cudaGetErrorString",
                                                        "cudaGetLastError", "cudaDeviceSynchronize",
                                                        "cudaGetDevice",    "operation"};

class Failures : public ::testing::TestWithParam<int> {};

TEST_P(Failures, of_each_call_are_reported_once_and_leave_nothing_behind) {
  const int seed = GetParam();
  standin::configure(fmt::format("seed={},devices=2", seed));
  use_everything(1);
  const std::map<std::string, std::int64_t> counts = standin::call_counts();
  EXPECT_GT(counts.size(), 20U);
  EXPECT_TRUE(standin::live_handles().empty());

  for (const auto& [call, count] : counts) {
    if (no_failures.contains(call)) continue;
    for (std::int64_t number = 1; number <= std::min<std::int64_t>(count, 12); ++number) {
      SCOPED_TRACE(fmt::format("{} number {} fails", call, number));
      standin::configure(fmt::format("seed={},devices=2,fail={}:{}", seed, call, number));
      std::string message;
      try {
        const Drain drain;
        use_everything(1);
      } catch (const Error& error) {
        message = error.what();
        EXPECT_TRUE(error.code() == ExitCode::internal || error.code() == ExitCode::no_device);
      }
      EXPECT_TRUE(standin::live_handles().empty()) << ::testing::PrintToString(standin::live_handles());
      if (destroying.contains(call)) {
        EXPECT_EQ(message, "");
        continue;
      }
      const std::string name = call == "kernel_launch" ? "launch of a kernel" : call;
      EXPECT_THAT(message, ::testing::StartsWith("CUDA: " + name + " failed: "));
      if (call != "cudaMalloc") {
        EXPECT_THAT(message, ::testing::ContainsRegex(
                                 "\\(cudaError[A-Za-z]+\\) at src/device/cuda/[a-z_/]+\\.(cpp|cu|h):"
                                 "[0-9]+ on device [01]$"));
      }
    }
  }
}

TEST_P(Failures, of_the_device_are_reported_by_a_later_call) {
  const int seed = GetParam();
  standin::configure(fmt::format("seed={},devices=2", seed));
  use_everything(1);
  const std::int64_t operations = standin::calls("operation");
  EXPECT_GT(operations, 8);
  for (std::int64_t number = 1; number <= operations; ++number) {
    SCOPED_TRACE(fmt::format("operation {} fails", number));
    standin::configure(fmt::format("seed={},devices=2,fail=operation:{}", seed, number));
    try {
      use_everything(1);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(),
                  ::testing::ContainsRegex("^CUDA: .* failed: .*\\(cudaErrorLaunchFailure\\) at src/"));
    }
    EXPECT_TRUE(standin::live_handles().empty()) << ::testing::PrintToString(standin::live_handles());
    standin::configure("");
    static_cast<void>(cudaGetLastError());  // it would be the next test's
  }
}

/// What the libraries say of themselves.
std::string message_of(const auto& failing) {
  try {
    failing();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(LibraryFailures, for_want_of_memory_say_how_much_there_is) {
  const StandinDevice device("memory_mb=64");
  const auto some = device->allocate(std::int64_t{16} << 20U);
  for (const std::string& text :
       {message_of([] { device::cuda::call(CUBLAS_STATUS_ALLOC_FAILED, "cublasCreate"); }), message_of([] {
          device::cuda::call(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, "cudnnCreate");
        })})
    EXPECT_THAT(text,
                ::testing::ContainsRegex("^cu(BLAS: cublas|DNN: cudnn)Create failed: device 0 has no room "
                                         "for what the library needs: 4[0-9]\\.[0-9] MiB of its 64\\.0 MiB "
                                         "are free\\. Keep the samples in the host's memory"));
}

TEST(LibraryFailures, come_with_what_cudnn_itself_says) {
  standin::configure("fail=cudnnCreate:1");
  EXPECT_THAT(
      message_of([] { static_cast<void>(device::cuda::make_cudnn()); }),
      ::testing::StartsWith("cuDNN: cudnnCreate failed: CUDNN_STATUS_NOT_INITIALIZED: cudnnCreate was "
                            "asked to fail (1001) at src/device/cuda/libraries.cpp:"));
}

// In a process of its own, in which nothing has failed before.
TEST(FailuresDeathTest, while_something_is_destroyed_are_warned_of_once) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        standin::configure("fail=cudaFree:1,fail=cudaFree:2,fail=cudaStreamDestroy:2");
        {
          const auto accelerator = device::make_accelerator({});
          const auto stream = accelerator->make_stream();
          const auto first = accelerator->allocate(4);
          const auto second = accelerator->allocate(4);
        }
        std::exit(standin::live_handles().empty() ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "^[^\n]*CUDA: cudaFree failed: [^\n]* on device 0\n$");
}

INSTANTIATE_TEST_SUITE_P(Seeds, Failures, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace lockstep::testing
