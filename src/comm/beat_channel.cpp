#include "comm/beat_channel.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <sstream>

#include "base/error.h"

namespace lockstep::comm {
namespace {

sockaddr_in address_of(std::uint32_t host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(host);
  address.sin_port = htons(port);
  return address;
}

/// A bound socket. Throws Error(internal).
io::FileDescriptor open_socket(bool this_host_only) {
  io::FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_in address = address_of(this_host_only ? INADDR_LOOPBACK : INADDR_ANY, 0);
  if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail(ExitCode::internal,
         "the watchdog gets no UDP socket ({}); training.watchdog_seconds=0 does without a watchdog",
         std::strerror(errno));
  return socket;
}

/// Port and addresses of this host, as others reach them: "40312 10.0.0.7 192.168.1.7".
std::string own_addresses(int descriptor) {
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return "";
  std::string text = std::to_string(ntohs(bound.sin_port));
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return text;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> interfaces(first, &::freeifaddrs);
  for (const ifaddrs* interface = first; interface != nullptr; interface = interface->ifa_next) {
    if (interface->ifa_addr == nullptr || interface->ifa_addr->sa_family != AF_INET ||
        (interface->ifa_flags & IFF_UP) == 0 || (interface->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    std::array<char, INET_ADDRSTRLEN> name{};
    const auto* address = reinterpret_cast<const sockaddr_in*>(interface->ifa_addr);
    if (::inet_ntop(AF_INET, &address->sin_addr, name.data(), name.size()) != nullptr)
      text += fmt::format(" {}", name.data());
  }
  return text;
}

/// Where a rank that said `text` may be reached.
std::vector<sockaddr_in> parse_addresses(const std::string& text, bool same_host) {
  std::istringstream words(text);
  std::uint16_t port = 0;
  words >> port;
  std::vector<sockaddr_in> addresses;
  if (same_host) addresses.push_back(address_of(INADDR_LOOPBACK, port));
  for (std::string word; words >> word;) {
    sockaddr_in address = address_of(INADDR_ANY, port);
    if (::inet_pton(AF_INET, word.c_str(), &address.sin_addr) == 1) addresses.push_back(address);
  }
  return addresses;
}

}  // namespace

struct BeatChannel::Datagram {
  Token token;
  std::int32_t rank;
  Beat::Kind kind;
  std::uint64_t activity, changes;
};

BeatChannel::BeatChannel(World& world) : own_rank_(world.rank()) {
  world.agree([&] {
    socket_ = open_socket(world.host_count() == 1);
    if (world.is_root() && ::getrandom(token_.data(), sizeof token_, 0) != sizeof token_)
      fail(ExitCode::internal, "the system gives no random numbers: {}", std::strerror(errno));
  });
  world.broadcast_into(std::as_writable_bytes(std::span(token_)));
  const std::vector<std::string> all = world.all_gather(own_addresses(socket_.get()));
  const std::vector<std::string>& hosts = world.hosts();
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    addresses_.push_back(
        parse_addresses(all[rank], hosts[rank] == hosts[static_cast<std::size_t>(own_rank_)]));
}

void BeatChannel::send(int rank, const Beat& beat) {
  const Datagram datagram{token_, own_rank_, beat.kind, beat.activity, beat.changes};
  for (const sockaddr_in& address : addresses_[static_cast<std::size_t>(rank)])
    static_cast<void>(::sendto(socket_.get(), &datagram, sizeof datagram, MSG_DONTWAIT | MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

std::optional<BeatChannel::Received> BeatChannel::receive() {
  for (;;) {
    Datagram datagram{};
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t length = ::recvfrom(socket_.get(), &datagram, sizeof datagram, MSG_DONTWAIT,
                                      reinterpret_cast<sockaddr*>(&from), &size);
    // A send that was refused (its receiver has gone) is reported here once.
    if (length < 0 && (errno == ECONNREFUSED || errno == EINTR)) continue;
    if (length < 0) return std::nullopt;
    if (length != sizeof datagram || datagram.token != token_) continue;
    const auto rank = static_cast<std::size_t>(datagram.rank);
    if (rank >= addresses_.size()) continue;
    addresses_[rank].assign(1, from);  // there is room: nothing is allocated
    return Received{datagram.rank, {datagram.kind, datagram.activity, datagram.changes}};
  }
}

}  // namespace lockstep::comm
