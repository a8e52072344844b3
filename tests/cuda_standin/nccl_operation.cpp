#include "nccl_operation.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/partition.h"

namespace lockstep::standin::nccl {
namespace {

std::string describe(const Parcel& parcel) {
  return std::to_string(parcel.count) + " elements of type " + std::to_string(parcel.type) +
         (parcel.use == Parcel::Use::reduction ? " (in an all-reduce)" : "");
}

}  // namespace

std::size_t element_bytes(ncclDataType_t type) {
  switch (type) {
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    default:
      return 1;
  }
}

std::size_t Operation::Transfer::bytes() const {
  return parcel.count * element_bytes(static_cast<ncclDataType_t>(parcel.type));
}

void Operation::send(const void* data, Parcel parcel, int peer) {
  transfers_.push_back({.sends = true, .from = data, .parcel = parcel, .peer = peer});
}

void Operation::receive(void* data, Parcel parcel, int peer) {
  transfers_.push_back({.to = data, .parcel = parcel, .peer = peer});
}

void Operation::all_reduce(const float* from, float* to, std::int64_t count) {
  reductions_.push_back({from, to, count, transfers_.size()});
  const Parcel parcel{Parcel::Use::reduction, ncclFloat32, static_cast<std::uint64_t>(count)};
  for (int peer = 0; peer < communicator_->ranks(); ++peer) {
    if (peer == communicator_->rank()) continue;
    send(from, parcel, peer);
    receive(nullptr, parcel, peer);
  }
}

std::vector<Access> Operation::accesses() const {
  std::vector<Access> result;
  for (const auto& transfer : transfers_) {
    if (transfer.sends) result.push_back({transfer.from, transfer.bytes(), false});
    if (transfer.to != nullptr) result.push_back({transfer.to, transfer.bytes(), true});
  }
  for (const auto& reduction : reductions_) {
    const auto bytes = sizeof(float) * static_cast<std::size_t>(reduction.count);
    result.push_back({reduction.from, bytes, false});
    result.push_back({reduction.to, bytes, true});
  }
  return result;
}

void Operation::set_recorded(bool recorded) {
  if (recorded)
    recorded_ = communicator_->recorded();
  else
    communicator_->count_queued(1);
}

bool Operation::try_run() {
  auto& communicator = *communicator_;
  if (communicator.aborted()) return true;
  // After an error nothing moves any more until the communicator is aborted.
  const auto state = communicator.progress();
  if (state != ncclSuccess && state != ncclInProgress) return false;
  if (!begun_) begin();
  for (auto& transfer : transfers_)
    if (!transfer.done) match(transfer);
  communicator.progress();
  const bool done = std::ranges::all_of(transfers_, [&](const Transfer& transfer) {
    return transfer.done &&
           (transfer.peer == communicator.rank() || communicator.link(transfer.peer).flushed());
  });
  if (!done) return false;
  for (const auto& reduction : reductions_) reduce(reduction);
  communicator.end_operation();
  if (recorded_ == nullptr) communicator.count_queued(-1);
  return true;
}

void Operation::begin() {
  communicator_->begin_operation();
  begun_ = true;
  exchange_with_itself();
  for (const auto& transfer : transfers_)
    if (!transfer.done && !transfer.sends) communicator_->link(transfer.peer).promise(transfer.parcel);
}

void Operation::exchange_with_itself() {
  const auto own = [&](bool sends) {
    std::vector<Transfer*> result;
    for (auto& transfer : transfers_)
      if (transfer.peer == communicator_->rank() && transfer.sends == sends) result.push_back(&transfer);
    return result;
  };
  const auto sends = own(true);
  const auto receives = own(false);
  if (sends.size() != receives.size()) violation("NCCL: a rank sends to itself what it does not receive");
  for (std::size_t i = 0; i < sends.size(); ++i) {
    if (sends[i]->parcel != receives[i]->parcel)
      violation("NCCL: a rank sends itself " + describe(sends[i]->parcel) + " and receives " +
                describe(receives[i]->parcel));
    if (sends[i]->bytes() > 0) std::memmove(receives[i]->to, sends[i]->from, sends[i]->bytes());
    sends[i]->done = receives[i]->done = true;
  }
}

/// Sends to a rank, and receives from it, pair up in the order of their calls.
void Operation::match(Transfer& transfer) {
  for (const auto& earlier : transfers_) {
    if (&earlier == &transfer) break;
    if (!earlier.done && earlier.peer == transfer.peer && earlier.sends == transfer.sends) return;
  }
  auto& link = communicator_->link(transfer.peer);
  if (transfer.sends) {
    const auto promise = link.take_promise();
    if (!promise) return;
    if (*promise != transfer.parcel)
      violation("NCCL: rank " + std::to_string(communicator_->rank()) + " sends " +
                describe(transfer.parcel) + " to rank " + std::to_string(transfer.peer) +
                ", which receives " + describe(*promise));
    const auto* data = static_cast<const std::byte*>(transfer.from);
    link.deliver({data, data + transfer.bytes()});
  } else {
    auto data = link.take_received();
    if (!data) return;
    transfer.kept = std::move(*data);
    if (transfer.to != nullptr && transfer.bytes() > 0)
      std::memcpy(transfer.to, transfer.kept.data(), transfer.bytes());
  }
  transfer.done = true;
}

/// As a ring does it: the slab is cut into as many pieces as there are ranks; piece r is added up from rank r
/// + 1 on, around to rank r.
void Operation::reduce(const Reduction& reduction) const {
  const int ranks = communicator_->ranks();
  std::vector<const float*> parts;
  auto transfer = reduction.first_transfer;
  for (int rank = 0; rank < ranks; ++rank) {
    if (rank == communicator_->rank()) {
      parts.push_back(reduction.from);
      continue;
    }
    parts.push_back(reinterpret_cast<const float*>(transfers_[transfer + 1].kept.data()));
    transfer += 2;
  }
  for (int last = 0; last < ranks; ++last) {
    const auto range = piece(reduction.count, ranks, last);
    for (auto i = range.begin; i < range.end; ++i) {
      float sum = parts[static_cast<std::size_t>((last + 1) % ranks)][i];
      for (int step = 2; step <= ranks; ++step)
        sum += parts[static_cast<std::size_t>((last + step) % ranks)][i];
      reduction.to[i] = sum;
    }
  }
}

}  // namespace lockstep::standin::nccl
