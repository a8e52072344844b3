#pragma once

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_handle.h"

namespace lockstep::standin::nccl {

struct SocketTraits {
  using Type = int;
  static Type null() { return -1; }
  static void close(Type socket) noexcept { ::close(socket); }
};
using Socket = UniqueHandle<SocketTraits>;

/// What two ranks tell each other first.
struct Hello {
  std::int32_t ranks = 0;
  std::int32_t rank = 0;
  std::array<char, 64> device = {};  ///< its unique id
};

/// What a rank that receives promises to take, and one that sends checks before it does.
struct Parcel {
  enum class Use : std::int32_t { message, reduction };
  Use use = Use::message;
  std::int32_t type = 0;    ///< ncclDataType_t
  std::uint64_t count = 0;  ///< of elements

  friend bool operator==(const Parcel&, const Parcel&) = default;
};

/// The connection of two ranks. Nothing here waits: progress() moves what can be moved, and callers come
/// again.
class Link {
 public:
  Link() = default;
  explicit Link(Socket socket);

  [[nodiscard]] bool open() const { return static_cast<bool>(socket_); }
  void progress();
  void close() { socket_.reset(); }

  void say_hello(const Hello& hello) { put(Kind::hello, &hello, sizeof hello); }
  void promise(const Parcel& parcel) { put(Kind::promise, &parcel, sizeof parcel); }
  void deliver(const std::vector<std::byte>& data) { put(Kind::data, data.data(), data.size()); }
  /// The last thing said: that the connection will be closed, and that this is no failure.
  void say_bye() { put(Kind::bye, nullptr, 0); }

  /// Whether all that was said is with the kernel, from where the other takes it without our help.
  [[nodiscard]] bool flushed() const { return sent_ == out_.size(); }
  [[nodiscard]] const std::optional<Hello>& hello() const { return hello_; }
  [[nodiscard]] bool said_bye() const { return bye_; }
  /// The other side is gone, without having said bye.
  [[nodiscard]] bool lost() const { return lost_; }

  /// What the other side promised next, and what it sent next, if that is here.
  std::optional<Parcel> take_promise();
  std::optional<std::vector<std::byte>> take_received();

 private:
  enum class Kind : std::uint32_t { hello, promise, data, bye };
  struct Head {
    Kind kind;
    std::uint64_t bytes;
  };

  void put(Kind kind, const void* data, std::size_t bytes);
  void send();
  void receive();
  void take(Kind kind, std::vector<std::byte> body);

  Socket socket_;
  std::vector<std::byte> out_;
  std::size_t sent_ = 0;
  Head head_ = {};
  std::vector<std::byte> body_;
  std::size_t have_ = 0;  ///< bytes of the head and body that is being received
  std::deque<Parcel> promises_;
  std::deque<std::vector<std::byte>> received_;
  std::optional<Hello> hello_;
  bool bye_ = false;
  bool lost_ = false;
};

/// Sockets by name: of Linux's abstract kind, which leave no file behind. `name` is unique on this host.
Socket listen_as(const std::string& name);       ///< null if somebody else does
Socket try_to_connect(const std::string& name);  ///< null if nobody listens yet
Socket accept_from(const Socket& listening);     ///< null if nobody calls

}  // namespace lockstep::standin::nccl
