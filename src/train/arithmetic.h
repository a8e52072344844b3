#pragma once

#include "comm/world.h"
#include "config/experiment.h"
#include "train/rank_facts.h"

/// What ranks agree on before they compute anything, because the bits of a result depend on it.
namespace lockstep::train {

/// Makes oneDNN compute with one instruction set on all ranks: the one that the experiment names, or the
/// greatest that all their processors have. Before the first use of oneDNN. Collective; throws
/// AgreedError(no_device) naming a rank whose processor lacks what the experiment names.
void pin_instruction_set(comm::World& world, const config::Device& device);
/// The same for what is one process and no job.
void pin_instruction_set(const config::Device& device);

/// For what repeats a run: the instruction set which that one recorded, or the greatest within it that all
/// processors here have. Returns which. Collective.
config::InstructionSet pin_recorded_instruction_set(comm::World& world, config::InstructionSet recorded);

/// This process's build, its libraries, and the instruction set that oneDNN has in effect, which must have
/// been pinned.
Facts build_facts();
/// Throws AgreedError(bad_config) that names ranks, hosts and what differs unless all ranks have the same
/// `own` facts. Collective.
void check_same_build(comm::World& world, const Facts& own);

}  // namespace lockstep::train
