#include "comm/beat_channel.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>

namespace lockstep::comm {
namespace {

/// Bytes that are not this job's, to the rank's own socket.
void send_rubbish(const BeatChannel& channel) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(channel.descriptor(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  EXPECT_EQ(address.sin_addr.s_addr, htonl(INADDR_LOOPBACK)) << "all ranks of the test are on this host";
  const int descriptor = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const std::array<char, 64> bytes{};
  for (const std::size_t length : {0UL, 1UL, 40UL, 64UL})
    EXPECT_GE(
        ::sendto(descriptor, bytes.data(), length, 0, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ::close(descriptor);
}

TEST(BeatChannelOnRanks, BeatsReachAllOthersAndRubbishNobody) {
  World world;
  BeatChannel channel(world);
  send_rubbish(channel);
  world.barrier();
  const auto beat_of = [](int rank) {
    return Beat{.kind = rank % 2 == 0 ? Beat::Kind::alive : Beat::Kind::leaving,
                .activity = static_cast<std::uint64_t>(rank) << 40U,
                .changes = static_cast<std::uint64_t>(rank + 1)};
  };
  for (int rank = 0; rank < world.size(); ++rank)
    if (rank != world.rank()) channel.send(rank, beat_of(world.rank()));

  std::map<int, Beat> beats;
  constexpr int patience = 10'000;  // milliseconds
  while (std::ssize(beats) < world.size() - 1) {
    pollfd source{channel.descriptor(), POLLIN, 0};
    ASSERT_EQ(::poll(&source, 1, patience), 1);
    while (const auto received = channel.receive())
      EXPECT_TRUE(beats.emplace(received->rank, received->beat).second) << received->rank;
  }
  for (const auto& [rank, beat] : beats) {
    EXPECT_NE(rank, world.rank());
    EXPECT_EQ(beat.kind, beat_of(rank).kind);
    EXPECT_EQ(beat.activity, beat_of(rank).activity);
    EXPECT_EQ(beat.changes, beat_of(rank).changes);
  }
  if (world.size() == 1) {
    EXPECT_FALSE(channel.receive()) << "rubbish was taken for a beat";
  }
}

}  // namespace
}  // namespace lockstep::comm
