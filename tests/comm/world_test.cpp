#include "comm/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <new>
#include <string>

#include "comm/mpi_calls.h"
#include "comm/session.h"

namespace lockstep::comm {
namespace {

using ::testing::StartsWith;

/// Depends on the rank in length and contents.
std::string text_of(int rank) {
  return std::string(static_cast<std::size_t>(rank * 3), static_cast<char>('a' + rank));
}

std::string prefix_of(const World& world, int rank) {
  return rank_on_host(rank, world.hosts()[static_cast<std::size_t>(rank)]) + ": ";
}

/// The AgreedError that agree() throws, with its code in front of the message, or "" if none.
std::string agreed(World& world, const std::function<void()>& work) {
  try {
    world.agree(work);
  } catch (const AgreedError& error) {
    return fmt::format("{} {}", static_cast<int>(error.code()), error.what());
  }
  return "";
}

TEST(Session, NamesTheLibrary) {
  EXPECT_THAT(mpi_version(), StartsWith("Open MPI "));
  EXPECT_EQ(std::string(mpi_version()).find_first_not_of("0123456789.", 9), std::string::npos)
      << mpi_version();
}

TEST(Session, IsMadeOnce) {
  int argc = 0;
  char** argv = nullptr;
  EXPECT_THROW(Session(argc, argv), Error);
}

TEST(World, KnowsHosts) {
  const World world;
  ASSERT_EQ(std::ssize(world.hosts()), world.size());
  const bool all_alike = std::all_of(world.hosts().begin(), world.hosts().end(),
                                     [&](const std::string& host) { return host == world.hosts()[0]; });
  EXPECT_EQ(world.host_count() == 1, all_alike);
  EXPECT_LE(world.host_count(), world.size());
}

TEST(World, BroadcastsTheRootsText) {
  World world;
  world.barrier();
  EXPECT_EQ(world.broadcast(world.is_root() ? "the root's" : text_of(world.rank())), "the root's");
  EXPECT_EQ(world.broadcast(world.is_root() ? "" : "longer"), "");
  const std::string large(3'000'000, 'x');
  EXPECT_EQ(world.broadcast(world.is_root() ? large : ""), large);
  std::vector<std::int64_t> numbers(1000, world.rank());
  world.broadcast_into(std::as_writable_bytes(std::span(numbers)));
  EXPECT_EQ(numbers, std::vector<std::int64_t>(1000, 0));
}

TEST(World, GathersTextsOfAnyLength) {
  World world;
  const std::vector<std::string> texts = world.all_gather(text_of(world.rank()));
  ASSERT_EQ(std::ssize(texts), world.size());
  for (int rank = 0; rank < world.size(); ++rank)
    EXPECT_EQ(texts[static_cast<std::size_t>(rank)], text_of(rank));
  for (const auto& bytes : world.all_gather_bytes({})) EXPECT_TRUE(bytes.empty());
}

TEST(World, GathersEqualLengthsInPlace) {
  World world;
  const std::array<double, 2> own = {world.rank() + 0.5, -1.0 * world.rank()};
  std::vector<std::array<double, 2>> all(static_cast<std::size_t>(world.size()));
  world.all_gather_into(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)));
  for (int rank = 0; rank < world.size(); ++rank) {
    EXPECT_EQ(all[static_cast<std::size_t>(rank)][0], rank + 0.5);
    EXPECT_EQ(all[static_cast<std::size_t>(rank)][1], -rank);
  }
  EXPECT_THROW(world.all_gather_into(std::as_bytes(std::span(own)), {}), Error);
}

TEST(World, GathersPartsOfAnyLengthAtTheRoot) {
  World world;
  const auto length_of = [](int rank) {
    return static_cast<std::size_t>(rank % 3 == 1 ? 0 : 1000 * rank + 3);
  };
  std::vector<std::int64_t> own(length_of(world.rank()));
  for (std::size_t i = 0; i < own.size(); ++i) own[i] = world.rank() * 100'000 + static_cast<std::int64_t>(i);
  std::size_t total = 0;
  for (int rank = 0; rank < world.size(); ++rank) total += length_of(rank);
  std::vector<std::int64_t> all(world.is_root() ? total : 0);
  world.gather_into(std::as_bytes(std::span(own)), std::as_writable_bytes(std::span(all)));
  std::size_t at = 0;
  for (int rank = 0; rank < world.size() && world.is_root(); ++rank)
    for (std::size_t i = 0; i < length_of(rank); ++i)
      ASSERT_EQ(all[at++], rank * 100'000 + static_cast<std::int64_t>(i)) << rank;
}

TEST(World, SumsAndTakesMaxima) {
  World world;
  const std::int64_t n = world.size();
  std::array<std::int64_t, 3> values = {world.rank() + 1, std::int64_t{1} << 40, -world.rank()};
  world.sum(values);
  EXPECT_EQ(values, (std::array<std::int64_t, 3>{n * (n + 1) / 2, n << 40, -n * (n - 1) / 2}));
  values = {world.rank(), -world.rank(), 7};
  world.max(values);
  EXPECT_EQ(values, (std::array<std::int64_t, 3>{n - 1, 0, 7}));
}

TEST(World, SendsFromAnyRankToAnyOther) {
  World world;
  const auto number = [](int from, int to, std::size_t i) {
    return static_cast<std::int64_t>(i) * 100 + 10 * from + to;
  };
  for (const std::size_t length : {std::size_t{0}, std::size_t{3}, std::size_t{100'000}})
    for (int from = 0; from < world.size(); ++from)
      for (int to = 0; to < world.size(); ++to) {
        if (from == to) continue;
        std::vector<std::int64_t> numbers(length, -1);
        if (world.rank() == from) {
          for (std::size_t i = 0; i < length; ++i) numbers[i] = number(from, to, i);
          world.send(std::as_bytes(std::span(numbers)), to);
        }
        if (world.rank() != to) continue;
        world.receive(std::as_writable_bytes(std::span(numbers)), from);
        for (std::size_t i = 0; i < length; ++i) ASSERT_EQ(numbers[i], number(from, to, i));
      }
}

TEST(World, RefusesATransferOfAnotherLength) {
  World world;
  if (world.size() == 1) GTEST_SKIP() << "not run: there is nobody to send to";
  std::array<std::byte, 8> bytes{};
  if (world.rank() == 0) world.send(std::span(bytes).first(7), 1);
  if (world.rank() == 1) {
    EXPECT_THROW(world.receive(bytes, 0), Error);
  }
}

TEST(World, AgreesThatNothingFailed) {
  World world;
  int runs = 0;
  EXPECT_EQ(agreed(world, [&] { ++runs; }), "");
  EXPECT_EQ(runs, 1);
}

TEST(World, AgreesOnTheLowestRankThatFailed) {
  World world;
  for (int k = 0; k < world.size(); ++k) {
    const auto work = [&] {
      if (world.rank() >= k) fail(ExitCode::no_input, "cannot open file{}", world.rank());
    };
    const std::string prefix = world.size() == 1 ? "" : prefix_of(world, k);
    EXPECT_EQ(agreed(world, work), fmt::format("66 {}cannot open file{}", prefix, k));
  }
  for (int k = 0; k < world.size(); ++k) {  // one rank only
    const auto work = [&] {
      if (world.rank() == k) fail(ExitCode::bad_data, "label {} is too large", 100 + k);
    };
    const std::string prefix = world.size() == 1 ? "" : prefix_of(world, k);
    EXPECT_EQ(agreed(world, work), fmt::format("65 {}label {} is too large", prefix, 100 + k));
  }
}

TEST(World, LeavesTheRankOutWhereAllFailAlike) {
  World world;
  EXPECT_EQ(agreed(world, [] { fail(ExitCode::bad_config, "no such key: epoch"); }), "78 no such key: epoch");
}

TEST(World, AgreesOnExceptionsOfLibraries) {
  World world;
  EXPECT_EQ(agreed(world, [] { throw std::out_of_range("a library said so"); }), "70 a library said so");
  EXPECT_EQ(agreed(world, [] { throw std::bad_alloc(); }), fmt::format("70 {}", out_of_memory));
}

TEST(World, NamesARankOnce) {
  World world;
  const int last = world.size() - 1;
  const auto work = [&] {
    if (world.rank() == last) fail(ExitCode::internal, "{}MPI_Send failed", prefix_of(world, last));
  };
  EXPECT_EQ(agreed(world, work), fmt::format("70 {}MPI_Send failed", prefix_of(world, last)));
}

TEST(MpiCalls, FailuresNameRankCallOperationAndCause) {
  const World world;
  const int nobody = world.size();
  const auto send = [&](MPI_Comm communicator) {
    require_mpi(MPI_Send(&nobody, 1, MPI_INT, nobody, 0, communicator), "MPI_Send", "the test");
  };
  const std::string expected = prefix_of(world, world.rank()) + "MPI_Send in the test failed: MPI_ERR_RANK";
  for (MPI_Comm communicator : {world.native().handle, MPI_COMM_WORLD, MPI_COMM_SELF}) try {
      send(communicator);
      FAIL() << "MPI_Send to a rank that does not exist passed";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), StartsWith(expected));
      EXPECT_EQ(error.code(), ExitCode::internal);
    }
}

}  // namespace
}  // namespace lockstep::comm
