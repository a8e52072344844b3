#include "comm/world.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <new>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/log.h"
#include "comm/mpi_calls.h"

namespace lockstep::comm {
namespace {

constexpr std::int64_t most_bytes = std::numeric_limits<int>::max();  // MPI counts are int
constexpr std::size_t largest_part = 1 << 30;                         // of what goes in several messages
constexpr int tag = 1;                                                // 0 is the data plane's

int checked_count(std::int64_t bytes, std::string_view operation) {
  if (bytes > most_bytes)
    fail(ExitCode::internal, "{}: {} bytes; a control message holds at most {}", operation, bytes,
         most_bytes);
  return static_cast<int>(bytes);
}

/// Calls f(piece, its size) for pieces that MPI can count.
template <class Byte, class F>
void in_pieces(std::span<Byte> bytes, F&& f) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), largest_part));
    f(piece, static_cast<int>(piece.size()));
    bytes = bytes.subspan(piece.size());
  }
}

void reduce(const Communicator& communicator, std::span<std::int64_t> values, MPI_Op op,
            std::string_view operation) {
  const int count = checked_count(std::ssize(values), operation);
  require_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data(), count, MPI_INT64_T, op, communicator.handle),
              "MPI_Allreduce", operation);
}

std::string host_name() {
  std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
  int length = 0;
  require_mpi(MPI_Get_processor_name(name.data(), &length), "MPI_Get_processor_name", "start-up");
  return {name.data(), static_cast<std::size_t>(length)};
}

/// What one rank's work came to, as one message: code and text.
struct Outcome {
  bool failed = false;
  ExitCode code = ExitCode::internal;
  std::string text;

  [[nodiscard]] std::string pack() const { return fmt::format("{}{}{}", char{failed}, to_char(code), text); }
  static Outcome unpack(std::string_view packed) {
    return {packed[0] != 0, static_cast<ExitCode>(packed[1]), std::string(packed.substr(2))};
  }

 private:
  static char to_char(ExitCode code) { return static_cast<char>(code); }  // exit codes are below 128
};

Outcome outcome_of(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const Error& error) {
    return {true, error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {true, ExitCode::internal, out_of_memory};
  } catch (const std::exception& error) {
    return {true, ExitCode::internal, error.what()};
  }
}

}  // namespace

World::World() : communicator_(std::make_unique<Communicator>()) {
  require_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &communicator_->handle), "MPI_Comm_dup", "start-up");
  require_mpi(MPI_Comm_rank(communicator_->handle, &rank_), "MPI_Comm_rank", "start-up");
  require_mpi(MPI_Comm_size(communicator_->handle, &size_), "MPI_Comm_size", "start-up");
  hosts_ = all_gather(host_name());
}

World::~World() {
  // MPI_Comm_free is collective: while an exception unwinds, other ranks may never get to it.
  if (std::uncaught_exceptions() > 0) return;
  if (MPI_Comm_free(&communicator_->handle) != MPI_SUCCESS) log::write_warning("MPI_Comm_free failed");
}

int World::host_count() const {
  return static_cast<int>(std::set<std::string>(hosts_.begin(), hosts_.end()).size());
}

void World::barrier() {
  const Activity::Waiting waiting(activity_);
  require_mpi(MPI_Barrier(communicator_->handle), "MPI_Barrier", "World::barrier");
}

std::string World::broadcast(std::string_view text) {
  const Activity::Waiting waiting(activity_);
  std::int64_t length = std::ssize(text);
  require_mpi(MPI_Bcast(&length, 1, MPI_INT64_T, 0, communicator_->handle), "MPI_Bcast", "World::broadcast");
  const int count = checked_count(length, "World::broadcast");  // the same on all ranks
  std::string all(is_root() ? text : std::string_view());
  all.resize(static_cast<std::size_t>(length));
  require_mpi(MPI_Bcast(all.data(), count, MPI_CHAR, 0, communicator_->handle), "MPI_Bcast",
              "World::broadcast");
  return all;
}

void World::broadcast_into(std::span<std::byte> bytes) {
  const Activity::Waiting waiting(activity_);
  in_pieces(bytes, [&](auto piece, int count) {
    require_mpi(MPI_Bcast(piece.data(), count, MPI_BYTE, 0, communicator_->handle), "MPI_Bcast",
                "World::broadcast_into");
  });
}

std::vector<std::string> World::all_gather(std::string_view text) {
  std::vector<std::string> texts;
  for (const std::vector<std::byte>& bytes : all_gather_bytes(std::as_bytes(std::span(text)))) {
    std::string& copy = texts.emplace_back(bytes.size(), '\0');
    if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  }
  return texts;
}

std::vector<std::vector<std::byte>> World::all_gather_bytes(std::span<const std::byte> bytes) {
  const Activity::Waiting waiting(activity_);
  constexpr std::string_view operation = "World::all_gather_bytes";
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(size_));
  const std::int64_t own = std::ssize(bytes);
  require_mpi(MPI_Allgather(&own, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, communicator_->handle),
              "MPI_Allgather", operation);
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  checked_count(total, operation);

  std::vector<int> counts(lengths.begin(), lengths.end());
  std::vector<int> offsets(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), 0);
  std::vector<std::byte> all(static_cast<std::size_t>(total));
  require_mpi(MPI_Allgatherv(bytes.data(), static_cast<int>(own), MPI_BYTE, all.data(), counts.data(),
                             offsets.data(), MPI_BYTE, communicator_->handle),
              "MPI_Allgatherv", operation);

  std::vector<std::vector<std::byte>> result;
  for (std::size_t rank = 0; rank < counts.size(); ++rank)
    result.emplace_back(all.begin() + offsets[rank], all.begin() + offsets[rank] + counts[rank]);
  return result;
}

void World::all_gather_into(std::span<const std::byte> own, std::span<std::byte> all) {
  const Activity::Waiting waiting(activity_);
  check(std::ssize(all) == size_ * std::ssize(own), "all_gather_into has room for every rank's bytes");
  const int count = checked_count(std::ssize(own), "World::all_gather_into");
  require_mpi(MPI_Allgather(own.data(), count, MPI_BYTE, all.data(), count, MPI_BYTE, communicator_->handle),
              "MPI_Allgather", "World::all_gather_into");
}

void World::gather_into(std::span<const std::byte> own, std::span<std::byte> all) {
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(size_));
  const std::int64_t length = std::ssize(own);
  all_gather_into(std::as_bytes(std::span(&length, 1)), std::as_writable_bytes(std::span(lengths)));
  if (!is_root()) return send(own, 0);
  check(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}) == std::ssize(all),
        "gather_into has room for every rank's bytes");
  std::ranges::copy(own, all.begin());
  for (int rank = 1; rank < size_; ++rank) {
    all = all.subspan(static_cast<std::size_t>(lengths[static_cast<std::size_t>(rank - 1)]));
    receive(all.first(static_cast<std::size_t>(lengths[static_cast<std::size_t>(rank)])), rank);
  }
}

void World::sum(std::span<std::int64_t> values) {
  const Activity::Waiting waiting(activity_);
  reduce(*communicator_, values, MPI_SUM, "World::sum");
}

void World::max(std::span<std::int64_t> values) {
  const Activity::Waiting waiting(activity_);
  reduce(*communicator_, values, MPI_MAX, "World::max");
}

void World::send(std::span<const std::byte> bytes, int to) {
  const Activity::Waiting waiting(activity_);
  in_pieces(bytes, [&](auto piece, int count) {
    require_mpi(MPI_Send(piece.data(), count, MPI_BYTE, to, tag, communicator_->handle), "MPI_Send",
                "World::send");
  });
}

void World::receive(std::span<std::byte> bytes, int from) {
  const Activity::Waiting waiting(activity_);
  in_pieces(bytes, [&](auto piece, int count) {
    MPI_Status status;
    require_mpi(MPI_Recv(piece.data(), count, MPI_BYTE, from, tag, communicator_->handle, &status),
                "MPI_Recv", "World::receive");
    int received = 0;
    require_mpi(MPI_Get_count(&status, MPI_BYTE, &received), "MPI_Get_count", "World::receive");
    check(received == count, "both sides of a transfer know its length");
  });
}

void World::agree(const std::function<void()>& work) {
  const Outcome own = outcome_of(work);
  std::int64_t failures = own.failed ? 1 : 0;
  sum({&failures, 1});
  if (failures == 0) return;

  const std::vector<std::string> outcomes = all_gather(own.pack());
  const auto first = std::find_if(outcomes.begin(), outcomes.end(),
                                  [](const std::string& packed) { return Outcome::unpack(packed).failed; });
  const Outcome culprit = Outcome::unpack(*first);
  const bool all_alike = std::all_of(outcomes.begin(), outcomes.end(),
                                     [&](const std::string& packed) { return packed == *first; });
  if (all_alike) throw AgreedError(culprit.code, culprit.text);

  const auto rank = static_cast<std::size_t>(first - outcomes.begin());
  const std::string prefix = rank_on_host(static_cast<int>(rank), hosts_[rank]) + ": ";
  const bool names_itself = culprit.text.starts_with(prefix);  // as the errors of MPI calls do
  throw AgreedError(culprit.code, (names_itself ? "" : prefix) + culprit.text);
}

void World::abort(ExitCode code) {
  std::fflush(nullptr);
  const int status = static_cast<int>(code);
  // Alone there is nobody to stop, and MPI_Abort would add its own lines to the message.
  if (size_ == 1)
    MPI_Finalize();
  else
    MPI_Abort(communicator_->handle, status);
  std::_Exit(status);
}

}  // namespace lockstep::comm
