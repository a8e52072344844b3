#pragma once

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/world.h"
#include "io/file_descriptor.h"

namespace lockstep::comm {

/// What the watchdog of one rank tells that of another.
struct Beat {
  enum class Kind : std::uint32_t {
    alive,
    leaving,  ///< the sender is on the way to an orderly end, and silent from now on
    end       ///< the job ends: leave with 70, without a word
  };
  Kind kind = Kind::alive;
  std::uint64_t activity = 0;  ///< Activity::packed()
  std::uint64_t changes = 0;   ///< Activity::changes()
};

/// Datagrams (UDP, IPv4) between the ranks, beside MPI, which the main thread alone may call. They may get
/// lost, never block, and need no connection to be kept; each carries a random number that only this job
/// knows. Between ranks of one host they take the loopback interface; if there is no other host, the socket
/// listens on nothing else.
///
/// Threads: made on the main thread, then used by one thread.
class BeatChannel {
 public:
  /// Opens this rank's socket and learns where the others' are. Collective; throws AgreedError if any rank
  /// gets none.
  explicit BeatChannel(World& world);

  /// To each address that the rank may have, until something has come from it; from then on to where that
  /// came from. Failures are losses.
  void send(int rank, const Beat& beat);

  struct Received {
    int rank = 0;
    Beat beat;
  };
  /// The next that has arrived, without waiting. What is not this job's is dropped.
  std::optional<Received> receive();

  /// Readable when something has arrived.
  [[nodiscard]] int descriptor() const { return socket_.get(); }

 private:
  using Token = std::array<std::uint64_t, 2>;
  struct Datagram;

  int own_rank_;
  io::FileDescriptor socket_;
  Token token_{};
  std::vector<std::vector<sockaddr_in>> addresses_;  // by rank
};

}  // namespace lockstep::comm
