#pragma once

#include <memory>
#include <string>

#include "comm/world.h"
#include "device/accelerator.h"
#include "device/backend.h"
#include "train/blueprint.h"
#include "train/run_folder.h"

namespace lockstep::train {

/// What a rank computes with, as the experiment says.
struct RankDevice {
  std::unique_ptr<device::Accelerator> accelerator;  ///< null on CPUs
  std::unique_ptr<device::Backend> backend;          ///< for single shards
  device::PlanChoices choices;                       ///< for the accelerator's plans, the same on all ranks

  /// "cpu (avx512_core), oneDNN 3.7", "cuda (…), CUDA 13.0, cuDNN 9.19".
  [[nodiscard]] std::string describe() const;
};

/// Prepares each rank's device. On accelerators, rank 0 decides which of their library's algorithms all ranks
/// use: those in `recorded`, of a run that goes on or is evaluated, or else the ones that the library
/// recommends. Error(no_device) on all ranks if any of them has no device, or one that cannot do the same.
/// Collective.
RankDevice make_rank_device(comm::World& world, const Blueprint& blueprint,
                            const device::PlanChoices& recorded = {});

/// Choices as text for files, and back: a JSON object, by "fp32 training 16" and the like. What `text` says
/// of another precision is left out; text that is no such thing gives none.
std::string choices_text(const device::PlanChoices& choices, config::Precision precision);
device::PlanChoices parse_choices(const std::string& text, config::Precision precision);

/// Those that a run recorded when it last computed, as rank 0 reads them. Collective.
device::PlanChoices share_recorded_choices(comm::World& world, const RunFolder& run,
                                           config::Precision precision);

}  // namespace lockstep::train
