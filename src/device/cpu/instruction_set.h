#pragma once

#include <cstdint>
#include <string_view>

#include "config/instruction_set.h"

/// Which instructions oneDNN computes with. Another choice is another order of additions somewhere, and so
/// other bits.
namespace lockstep::device::cpu {

using config::InstructionSet;

/// What a processor can do, a bit each, as far as instruction sets differ in it. An instruction set is at
/// most another when its features are among the other's: not every two compare (avx2_vnni, avx512_core), but
/// any two have a greatest one below both, which is the greatest within the features that they share.
using Features = std::uint32_t;

/// Not for `automatic`.
Features features_of(InstructionSet set);
std::string_view name_of(InstructionSet set);
inline bool has(Features features, InstructionSet set) {
  return (features & features_of(set)) == features_of(set);
}
/// The one that oneDNN prefers where a processor has these features. Error(no_device) when even sse41 is not
/// within.
InstructionSet greatest_within(Features features);

/// This processor's.
Features processor_features();
/// Those of `processor` that ONEDNN_MAX_CPU_ISA, or else DNNL_MAX_CPU_ISA, leaves. Error(bad_config) when it
/// names no instruction set.
Features allowed_features(Features processor);

/// Makes oneDNN compute with `set`, which this processor must have, whatever the environment says. Before
/// anything else of oneDNN is used in this process: it accepts no change later. Error(internal) when it
/// computes with another all the same. Main thread.
void pin_instruction_set(InstructionSet set);

}  // namespace lockstep::device::cpu
