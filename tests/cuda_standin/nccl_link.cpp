#include "nccl_link.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "race_detector.h"
#include "runtime.h"

namespace lockstep::standin::nccl {
namespace {

constexpr int socket_type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

/// Calls `connect_or_bind` with the address of that name.
template <class Call>
int with_address(const std::string& name, Call connect_or_bind) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // An abstract name starts with a zero byte and has the length that is left.
  if (name.size() + 1 > sizeof address.sun_path) violation("the NCCL stand-in's sockets have short names");
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return connect_or_bind(reinterpret_cast<const sockaddr*>(&address), size);
}

template <class T>
T from_bytes(const std::vector<std::byte>& bytes) {
  if (bytes.size() != sizeof(T)) violation("the NCCL stand-in received a message of the wrong size");
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace

Link::Link(Socket socket) : socket_(std::move(socket)) {
  // What fits into the kernel's buffer needs no second visit. Less than asked for will do, too.
  const int wanted = 4 << 20;
  if (open()) ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
}

void Link::progress() {
  const Unwatched bookkeeping;
  if (!open()) return;
  send();
  receive();
}

std::optional<Parcel> Link::take_promise() {
  const Unwatched bookkeeping;
  if (promises_.empty()) return std::nullopt;
  const auto parcel = promises_.front();
  promises_.pop_front();
  return parcel;
}

std::optional<std::vector<std::byte>> Link::take_received() {
  const Unwatched bookkeeping;
  if (received_.empty()) return std::nullopt;
  auto data = std::move(received_.front());
  received_.pop_front();
  return data;
}

void Link::put(Kind kind, const void* data, std::size_t bytes) {
  const Unwatched bookkeeping;
  const Head head{kind, bytes};
  const auto* head_bytes = reinterpret_cast<const std::byte*>(&head);
  out_.insert(out_.end(), head_bytes, head_bytes + sizeof head);
  const auto* body = static_cast<const std::byte*>(data);
  out_.insert(out_.end(), body, body + bytes);
}

void Link::send() {
  while (sent_ < out_.size()) {
    const auto count = ::send(socket_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      // What is left to be received tells more than a failure to send, so that is found out there.
      if (errno != EAGAIN && errno != EWOULDBLOCK) sent_ = out_.size();
      break;
    }
    sent_ += static_cast<std::size_t>(count);
  }
  if (flushed()) {
    out_.clear();
    sent_ = 0;
  }
}

void Link::receive() {
  for (;;) {
    const bool in_head = have_ < sizeof head_;
    std::byte* to =
        in_head ? reinterpret_cast<std::byte*>(&head_) + have_ : body_.data() + (have_ - sizeof head_);
    const std::size_t wanted = in_head ? sizeof head_ - have_ : sizeof head_ + body_.size() - have_;
    if (wanted > 0) {
      const auto count = ::recv(socket_.get(), to, wanted, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (count <= 0) {
        lost_ = !bye_;
        close();
        return;
      }
      have_ += static_cast<std::size_t>(count);
    }
    if (have_ == sizeof head_ && body_.empty()) body_.resize(head_.bytes);
    if (have_ == sizeof head_ + body_.size() && have_ >= sizeof head_) {
      take(head_.kind, std::exchange(body_, {}));
      have_ = 0;
    }
  }
}

void Link::take(Kind kind, std::vector<std::byte> body) {
  switch (kind) {
    case Kind::hello:
      hello_ = from_bytes<Hello>(body);
      break;
    case Kind::promise:
      promises_.push_back(from_bytes<Parcel>(body));
      break;
    case Kind::data:
      received_.push_back(std::move(body));
      break;
    case Kind::bye:
      bye_ = true;
      break;
  }
}

Socket listen_as(const std::string& name) {
  Socket socket(::socket(AF_UNIX, socket_type, 0));
  const int bound = with_address(
      name, [&](const sockaddr* address, socklen_t size) { return ::bind(socket.get(), address, size); });
  if (bound != 0 || ::listen(socket.get(), SOMAXCONN) != 0) return {};
  return socket;
}

Socket try_to_connect(const std::string& name) {
  Socket socket(::socket(AF_UNIX, socket_type, 0));
  const int connected = with_address(
      name, [&](const sockaddr* address, socklen_t size) { return ::connect(socket.get(), address, size); });
  if (connected != 0) return {};
  return socket;
}

Socket accept_from(const Socket& listening) {
  return Socket(::accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

}  // namespace lockstep::standin::nccl
