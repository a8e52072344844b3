#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/world.h"
#include "config/experiment.h"
#include "device/accelerator.h"

namespace lockstep::comm {

/// What a rank may choose from.
struct VisibleDevices {
  std::string host;
  std::vector<std::string> ids;  ///< DeviceFacts::unique_id, by index
};

/// The index of each rank's device, by rank. Of a list `gpus`, the first rank of a host takes the first, the
/// next the second. Else each takes the first that it sees and no rank before it has; so it does not matter
/// whether all ranks of a host see all its devices, or a launcher has shown each one of its own.
///
/// Throws Error(no_device) naming rank, host and device where a rank has none, and, unless ranks may share,
/// where two of a host have the same one. Ranks that share are spread evenly.
std::vector<int> choose_devices(std::span<const VisibleDevices> ranks, std::span<const std::int64_t> gpus,
                                bool may_share);

/// Says that `gpus` lists more than any host has ranks for; empty if it does not.
std::string unused_devices(std::span<const VisibleDevices> ranks, std::span<const std::int64_t> gpus);

/// This rank's device by these rules: one of `visible`, which may differ from rank to rank. Ranks share only
/// where the exchange is by MPI; rank 0 then warns. Collective; throws AgreedError.
device::DeviceFacts device_of_rank(World& world, std::span<const device::DeviceFacts> visible,
                                   const config::Device& wanted);

}  // namespace lockstep::comm
