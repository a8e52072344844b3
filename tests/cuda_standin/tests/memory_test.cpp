#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "cuda_standin/tests/fixture.h"

namespace lockstep::standin {
namespace {

using MemoryTest = StandinTest;
using MemoryDeathTest = StandinTest;

TEST_F(MemoryTest, BlocksAreAlignedAndDoNotTouch) {
  std::vector<char*> blocks;
  for (const std::size_t bytes : {1, 255, 256, 257, 4096, 100'000}) {
    char* block = nullptr;
    expect_success(cudaMalloc(&block, bytes));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0U);
    for (const char* other : blocks) EXPECT_GE(std::abs(block - other), 4096);
    blocks.push_back(block);
  }
  for (char* block : blocks) expect_success(cudaFree(block));
}

TEST_F(MemoryTest, ADeviceHasAsMuchAsIsAskedFor) {
  configure("memory_mb=1,devices=2");
  std::size_t free = 0;
  std::size_t total = 0;
  char* large = nullptr;
  char* small = nullptr;
  expect_success(cudaMalloc(&large, 1'000'000));
  expect_success(cudaMemGetInfo(&free, &total));
  EXPECT_EQ(total, 1U << 20U);
  EXPECT_LE(free, (1U << 20U) - 1'000'000);
  EXPECT_EQ(cudaMalloc(&small, 100'000), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  expect_success(cudaSetDevice(1));
  expect_success(cudaMalloc(&small, 100'000));
  expect_success(cudaFree(small));
  expect_success(cudaSetDevice(0));
  expect_success(cudaFree(large));
  expect_success(cudaMalloc(&small, 100'000));
  expect_success(cudaFree(small));
}

TEST_F(MemoryTest, NewMemoryIsNotANumber) {
  const TestStream stream;
  const DeviceInts block(7);
  for (const int value : block.read(stream)) {
    EXPECT_TRUE(std::isnan(std::bit_cast<float>(value)));
    EXPECT_GT(value, 1'000'000'000);
  }
  float* pinned = nullptr;
  expect_success(cudaHostAlloc(&pinned, 12, cudaHostAllocDefault));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(pinned[i]));
  expect_success(cudaFreeHost(pinned));
}

TEST_F(MemoryDeathTest, TheHostCannotReachIt) {
  const TestStream stream;
  const DeviceInts block(16);
  block.clear(stream);
  EXPECT_DEATH(block.data()[1] = 5, "the host touched memory of device 0 at .*: byte 4 of a block of 64");
  expect_success(cudaStreamSynchronize(stream));
  EXPECT_DEATH(block.data()[1] = 5, "the host touched memory of device 0");
}

struct Store {
  int* at;
  void operator()(std::int64_t i) const { at[i] = 1; }
};

TEST_F(MemoryDeathTest, KernelsAreConfinedToLiveBlocks) {
  configure("seed=0");
  const TestStream stream;
  const auto run = [&](int* at, std::int64_t n) {
    device::cuda::impl::launch_n(stream, n, Store{at});
    static_cast<void>(cudaStreamSynchronize(stream));
  };
  int* block = nullptr;
  expect_success(cudaMalloc(&block, 1024));
  run(block, 256);
  EXPECT_DEATH(run(block, 300), "operation '.*Store' touched memory .*: byte 1.* of a block of only 1024");
  EXPECT_DEATH(
      {
        device::cuda::impl::launch_n(stream, 1, Store{block});
        static_cast<void>(cudaFree(block));
        static_cast<void>(cudaStreamSynchronize(stream));
      },
      "operation '.*Store' touched memory .*: a block of 1024 bytes that was freed");
  expect_success(cudaFree(block));
}

TEST_F(MemoryDeathTest, OverrunsWithinAPageAreFoundWhenFreed) {
  const TestStream stream;
  int* block = nullptr;
  expect_success(cudaMalloc(&block, 1000));
  EXPECT_DEATH(
      {
        device::cuda::impl::launch_n(stream, 251, Store{block});
        expect_success(cudaStreamSynchronize(stream));
        static_cast<void>(cudaFree(block));
      },
      "wrote outside of the block of 1000 bytes");
  EXPECT_DEATH(
      {
        device::cuda::impl::launch_n(stream, 1, Store{block - 1});
        expect_success(cudaStreamSynchronize(stream));
        static_cast<void>(cudaFree(block));
      },
      "wrote outside of the block of 1000 bytes");
  expect_success(cudaFree(block));
}

TEST_F(MemoryDeathTest, WithoutGuardsItIsHiddenAndPoisonedAllTheSame) {
  configure("guards=0");
  const TestStream stream;
  const DeviceInts values(16);
  int* block = nullptr;
  expect_success(cudaMalloc(&block, 4096));
  values.clear(stream);
  copy_one(stream, block, values.data());
  EXPECT_EQ(values.read(stream).front(), 0x7F8BADAD);
  EXPECT_DEATH(block[1] = 5, "the host touched memory of device 0");
  EXPECT_DEATH(
      {
        device::cuda::impl::launch_n(stream, 17, Store{values.data()});
        expect_success(cudaStreamSynchronize(stream));
        static_cast<void>(cudaFree(values.data()));
      },
      "wrote outside of the block of 64 bytes");
  expect_success(cudaFree(block));
  copy_one(stream, block, values.data());
  EXPECT_EQ(values.read(stream).front(), -1);
}

TEST_F(MemoryDeathTest, OnlyWhatIsLiveCanBeFreedOnce) {
  int* block = nullptr;
  int on_the_stack = 0;
  expect_success(cudaMalloc(&block, 1024));
  EXPECT_DEATH(static_cast<void>(cudaFree(block + 1)), "is not the start of a block");
  EXPECT_DEATH(static_cast<void>(cudaFree(&on_the_stack)), "is not device memory");
  EXPECT_DEATH(static_cast<void>(cudaFreeHost(block)), "is not page-locked memory");
  expect_success(cudaFree(block));
  EXPECT_DEATH(static_cast<void>(cudaFree(block)), "was freed already");
  expect_success(cudaFree(nullptr));
  expect_success(cudaFreeHost(nullptr));
}

TEST_F(MemoryDeathTest, CopiesAreBetweenDeviceAndPageLockedMemory) {
  const TestStream stream;
  const DeviceInts block(16);
  std::vector<int> pageable(16);
  const auto copy = [&](void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    static_cast<void>(cudaMemcpyAsync(to, from, bytes, kind, stream));
  };
  EXPECT_DEATH(copy(block.data(), pageable.data(), 64, cudaMemcpyHostToDevice), "must be page-locked");
  EXPECT_DEATH(copy(pageable.data(), block.data(), 64, cudaMemcpyDeviceToHost), "must be page-locked");
  EXPECT_DEATH(copy(block.data(), block.data() + 8, 32, cudaMemcpyHostToDevice), "direction is wrong");
  EXPECT_DEATH(copy(block.data(), block.data() + 4, 32, cudaMemcpyDeviceToDevice), "overlap");
  EXPECT_DEATH(copy(block.data(), block.data() + 12, 32, cudaMemcpyDeviceToDevice),
               "32 bytes at .* are not within one live block");
  expect_success(cudaMemcpyAsync(block.data(), block.data() + 8, 32, cudaMemcpyDeviceToDevice, stream));
}

TEST_F(MemoryDeathTest, ACopyNeedsItsMemoryUntilItIsDone) {
  configure("seed=0");
  const TestStream stream;
  const DeviceInts block(16);
  int* pinned = nullptr;
  expect_success(cudaHostAlloc(&pinned, 64, cudaHostAllocDefault));
  EXPECT_DEATH(
      {
        static_cast<void>(cudaMemcpyAsync(pinned, block.data(), 64, cudaMemcpyDeviceToHost, stream));
        static_cast<void>(cudaFreeHost(pinned));
        static_cast<void>(cudaStreamSynchronize(stream));
      },
      "when cudaMemcpyAsync ran: 64 bytes at");
  expect_success(cudaFreeHost(pinned));
}

TEST_F(MemoryDeathTest, AStreamHasOnlyItsOwnDevicesMemory) {
  const TestStream stream;
  expect_success(cudaSetDevice(1));
  const DeviceInts block(16);
  EXPECT_DEATH(static_cast<void>(cudaMemsetAsync(block.data(), 0, 64, stream)), "are memory of device 1");
  expect_success(cudaSetDevice(0));
  EXPECT_DEATH(
      {
        device::cuda::impl::launch_n(stream, 1, Store{block.data()});
        static_cast<void>(cudaStreamSynchronize(stream));
      },
      "operation '.*Store' touched memory of device 1");
}

}  // namespace
}  // namespace lockstep::standin
