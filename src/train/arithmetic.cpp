#include "train/arithmetic.h"

#include <fmt/format.h>

#include <span>
#include <vector>

#include "device/backend.h"
#include "device/cpu/instruction_set.h"
#include "train/build_info.h"
#include "train/library_versions.h"

namespace lockstep::train {
namespace {

namespace cpu = device::cpu;

/// What this rank may use. Throws Error(no_device) if it lacks `named`.
cpu::Features own_features(config::InstructionSet named) {
  const cpu::Features processor = cpu::processor_features();
  const cpu::Features allowed = cpu::allowed_features(processor);
  if (named == config::InstructionSet::automatic || cpu::has(allowed, named)) return allowed;
  if (cpu::has(processor, named))
    fail(ExitCode::no_device,
         "device.instruction_set is {}, but ONEDNN_MAX_CPU_ISA or DNNL_MAX_CPU_ISA allows {} at most: unset "
         "it",
         cpu::name_of(named), cpu::name_of(cpu::greatest_within(allowed)));
  fail(ExitCode::no_device, "the processor has no {}, which device.instruction_set names: its greatest is {}",
       cpu::name_of(named), cpu::name_of(cpu::greatest_within(processor)));
}

config::InstructionSet choose(config::InstructionSet named, cpu::Features features) {
  return named == config::InstructionSet::automatic ? cpu::greatest_within(features) : named;
}

/// What all ranks may use. Collective.
cpu::Features common_features(comm::World& world, config::InstructionSet named) {
  cpu::Features own = 0;
  world.agree([&] { own = own_features(named); });
  std::vector<cpu::Features> all(static_cast<std::size_t>(world.size()));
  world.all_gather_into(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(all)));
  for (const cpu::Features features : all) own &= features;
  return own;
}

}  // namespace

void pin_instruction_set(comm::World& world, const config::Device& device) {
  const cpu::Features common = common_features(world, device.instruction_set);
  world.agree([&] { cpu::pin_instruction_set(choose(device.instruction_set, common)); });
}

void pin_instruction_set(const config::Device& device) {
  cpu::pin_instruction_set(choose(device.instruction_set, own_features(device.instruction_set)));
}

config::InstructionSet pin_recorded_instruction_set(comm::World& world, config::InstructionSet recorded) {
  cpu::Features usable = common_features(world, config::InstructionSet::automatic);
  if (recorded != config::InstructionSet::automatic) usable &= cpu::features_of(recorded);
  config::InstructionSet set = recorded;
  world.agree([&] {
    set = cpu::greatest_within(usable);
    cpu::pin_instruction_set(set);
  });
  return set;
}

Facts build_facts() {
  const BuildInfo& build = build_info();
  Facts facts{{"Lockstep",
               fmt::format("{} ({}{})", build.version, build.revision, build.modified ? ", modified" : "")},
              {"compiler", build.compiler},
              {"compiler flags", build.flags}};
  for (const auto& [name, version] : library_versions()) facts.push_back({name, version});
  facts.push_back({"instruction set", device::cpu_instruction_set()});
  return facts;
}

void check_same_build(comm::World& world, const Facts& own) {
  const auto all = gather_facts(world, own);
  world.agree([&] {
    if (const auto what = difference(all, world.hosts()))
      fail(ExitCode::bad_config,
           "the ranks do not compute with the same means, so the bits of the result would depend on who "
           "computes what:\n{}\nInstall the same build of Lockstep and the same libraries on all hosts.",
           *what);
  });
}

}  // namespace lockstep::train
