#include "comm/watchdog.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "comm/beat_channel.h"
#include "comm/standstill.h"
#include "io/file_descriptor.h"

namespace lockstep::comm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Ranks that hear all others.
constexpr int watching_ranks = 2;
/// How long beats may take to reach everybody at the start, and how often they are tried.
constexpr milliseconds contact_limit{3000}, contact_period{20};
/// Between the turns to speak: longer than mpirun takes to end a job.
constexpr milliseconds turn_length{2000};

/// Some times within the limit, once a second at least.
milliseconds period_of(milliseconds limit) {
  constexpr milliseconds longest{1000};
  return std::min(limit / 10, longest);
}

/// Whom a rank exchanges beats with.
std::vector<int> peers_of(int rank, int ranks) {
  std::vector<int> peers;
  for (int other = 0; other < (rank < watching_ranks ? ranks : std::min(ranks, watching_ranks)); ++other)
    if (other != rank) peers.push_back(other);
  return peers;
}

/// Past the logger, whose lock a thread that stands still may hold.
void write_message(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

class Watchdog::Impl {
 public:
  Impl(World& world, std::int64_t seconds)
      : rank_(world.rank()),
        hosts_(world.hosts()),
        activity_(world.activity()),
        seconds_(seconds),
        period_(period_of(limit())),
        delay_(world.is_root() ? milliseconds(0) : (1 + turn_to_speak(rank_, hosts_)) * turn_length) {
    for (const int rank : peers_of(rank_, world.size())) peers_.push_back({.rank = rank});
    unheard_ = std::ssize(peers_);
    if (world.size() > 1) channel_.emplace(world);
    try {
      world.agree([&] { start(); });
      warn_of_unreachable(world);
    } catch (...) {
      stop();
      throw;
    }
    watching_ = true;
  }
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

 private:
  /// Another rank, as its beats show it.
  struct Peer {
    int rank = 0;
    bool heard_ever = false;
    bool left = false;
    milliseconds heard{0};  ///< the last beat, by clock_
    std::uint64_t activity = 0, changes = 0;
  };

  [[nodiscard]] milliseconds limit() const { return std::chrono::seconds(seconds_); }

  void start() {
    wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) fail(ExitCode::internal, "the watchdog gets no event: {}", std::strerror(errno));
    sigset_t all;
    sigset_t before;  // signals are for the main thread
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::string error;
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& failure) {
      error = failure.what();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!error.empty()) fail(ExitCode::internal, "the watchdog gets no thread: {}", error);
  }

  void stop() {
    if (!thread_.joinable()) return;
    leaving_ = true;
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake_.get(), &one, sizeof one));
    thread_.join();
  }

  /// Waits until each peer was heard, though not for ever. Collective.
  void warn_of_unreachable(World& world) {
    std::string unheard;
    {
      std::unique_lock lock(mutex_);
      contact_.wait_for(lock, contact_limit, [&] { return unheard_ == 0; });
      if (unheard_ > 0) unheard = std::to_string(unheard_);
    }
    const std::vector<std::string> all = world.all_gather(unheard);
    const auto found = std::ranges::find_if(all, [](const std::string& text) { return !text.empty(); });
    if (!world.is_root() || found == all.end()) return;
    const auto rank = static_cast<std::size_t>(found - all.begin());
    log::warning(
        "the watchdog of rank {} on {} hears nothing from {} of the ranks, and so does not watch them: is "
        "UDP refused between the hosts?",
        rank, hosts_[rank], *found);
  }

  // All below: the watchdog's thread.

  void run() {
    auto last = Clock::now();
    for (send_to_all(Beat::Kind::alive); !leaving_;) {
      const milliseconds period = watching_ ? period_ : std::min(period_, contact_period);
      wait_until(last + period);
      take_beats();
      const auto now = Clock::now();
      const auto passed = std::chrono::duration_cast<milliseconds>(now - last);
      if (passed < period) continue;
      last = now;
      clock_ += std::min(passed, 2 * period);
      send_to_all(Beat::Kind::alive);
      look();
    }
    send_to_all(Beat::Kind::leaving);
  }

  void wait_until(Clock::time_point end) const {
    std::array<pollfd, 2> sources{pollfd{wake_.get(), POLLIN, 0},
                                  pollfd{channel_ ? channel_->descriptor() : -1, POLLIN, 0}};
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
    if (left > 0) ::poll(sources.data(), sources.size(), static_cast<int>(left));
  }

  void take_beats() {
    while (const auto received = channel_ ? channel_->receive() : std::nullopt) {
      if (received->beat.kind == Beat::Kind::end) leave();
      const auto peer = std::ranges::find(peers_, received->rank, &Peer::rank);
      if (peer == peers_.end()) continue;
      if (!std::exchange(peer->heard_ever, true)) note_contact();
      peer->heard = clock_;
      peer->left = received->beat.kind == Beat::Kind::leaving;
      peer->activity = received->beat.activity;
      if (std::exchange(peer->changes, received->beat.changes) != received->beat.changes) moved_ = clock_;
    }
  }

  void note_contact() {
    const std::lock_guard lock(mutex_);
    if (--unheard_ == 0) contact_.notify_one();
  }

  void send_to_all(Beat::Kind kind) {
    const Beat beat{.kind = kind, .activity = activity_.packed(), .changes = activity_.changes()};
    for (const Peer& peer : peers_) channel_->send(peer.rank, beat);
  }

  /// Ends the job if it stands still and this rank is the one to say so.
  void look() {
    if (std::exchange(changes_, activity_.changes()) != changes_ || !watching_) moved_ = clock_;
    if (clock_ - moved_ < limit() + delay_) return;
    for (const Peer& peer : peers_)
      if (peer.rank < rank_ && sign_of(peer) == RankSign::Sign::alive) return;  // it speaks

    std::vector<RankSign> signs{sign(rank_, RankSign::Sign::alive, activity_.packed())};
    for (const Peer& peer : peers_)
      if (peer.heard_ever) signs.push_back(sign(peer.rank, sign_of(peer), peer.activity));
    std::ranges::sort(signs, {}, &RankSign::rank);
    write_message(fmt::format("lockstep: {}{}\n", rank_ == 0 ? "" : fmt::format("rank {}: ", rank_),
                              standstill_message(signs, seconds_)));
    send_to_all(Beat::Kind::end);
    leave();
  }

  [[nodiscard]] RankSign::Sign sign_of(const Peer& peer) const {
    if (peer.left) return RankSign::Sign::left;
    // Whoever stopped things was silent for all of the limit, but for what threads are late when cores are
    // busy.
    return clock_ - peer.heard < limit() * 3 / 4 ? RankSign::Sign::alive : RankSign::Sign::silent;
  }

  [[nodiscard]] RankSign sign(int rank, RankSign::Sign sign, std::uint64_t activity) const {
    return {.rank = rank,
            .host = hosts_[static_cast<std::size_t>(rank)],
            .sign = sign,
            .activity = Activity::unpack(activity)};
  }

  /// Without MPI_Finalize, which would wait for all ranks: so mpirun ends what is left of the job.
  [[noreturn]] static void leave() { ::_exit(static_cast<int>(ExitCode::internal)); }

  const int rank_;
  const std::vector<std::string> hosts_;
  const Activity& activity_;
  const std::int64_t seconds_;
  const milliseconds period_;  // between beats
  const milliseconds delay_;   // until it is this rank's turn to speak
  std::vector<Peer> peers_;
  std::optional<BeatChannel> channel_;  // none where there is one rank
  io::FileDescriptor wake_;
  std::atomic<bool> leaving_ = false, watching_ = false;

  std::mutex mutex_;
  std::condition_variable contact_;
  std::ptrdiff_t unheard_ = 0;  // peers that no beat has come from; guarded by mutex_

  // The thread's own.
  milliseconds clock_{0};  // passes while this process runs: one that was suspended has not waited
  milliseconds moved_{0};  // when a rank got on, as far as this one knows
  std::uint64_t changes_ = 0;

  std::thread thread_;  // last: it uses all of the above
};

Watchdog::Watchdog(World& world, std::int64_t seconds)
    : impl_(seconds > 0 ? std::make_unique<Impl>(world, seconds) : nullptr) {}

Watchdog::~Watchdog() = default;

}  // namespace lockstep::comm
