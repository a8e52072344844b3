#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/world.h"
#include "config/experiment.h"
#include "device/accelerator.h"

/// What `lockstep doctor` finds out about an accelerator: whether it computes what the CPU does, and how fast
/// it moves data.
namespace lockstep::train {

struct Check {
  std::string name;
  bool passed = false;
  std::string detail;  ///< how close, or what was wrong
};

/// What `check` finds; an Error that it throws is a check that failed.
Check attempt(const std::string& name, const std::function<Check()>& check);

/// Is given each check when it is done.
using TakeCheck = std::function<void(const Check&)>;

/// Copies, and each operation of Accelerator against the CPU's, which must have equal bits.
void check_operations(device::Accelerator& accelerator, const TakeCheck& take);

/// Small networks that have every kind of layer between them, and those of the two MNIST experiments: loss
/// and gradients of a shard, against the CPU backend's within a bound (rounding differs, as libraries add in
/// other orders).
void check_networks(device::Accelerator& accelerator, const TakeCheck& take);

/// A step's exchange among all ranks, with numbers whose sums are known: over the tree, and as the library
/// likes to add. The same on all ranks. Collective.
Check check_exchange(comm::World& world, device::Accelerator& accelerator, config::Exchange exchange);
Check check_all_reduce(comm::World& world, device::Accelerator& accelerator, config::Exchange exchange);

struct Speed {
  std::string name;
  double value = 0;
  std::string unit;
};

/// Of copies between host and device and within the device.
std::vector<Speed> measure_copies(device::Accelerator& accelerator);
/// Of exchanges of 64 MiB: a step's over the tree, weights gathered, and as the library likes to add.
/// Collective.
std::vector<Speed> measure_exchanges(comm::World& world, device::Accelerator& accelerator,
                                     config::Exchange exchange);

}  // namespace lockstep::train
