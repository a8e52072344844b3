#include "device/cpu/instruction_set.h"

#include <dnnl.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "device/backend.h"

namespace lockstep::device::cpu {
namespace {

// What each instruction set adds to the one that it builds on.
constexpr Features with_sse41 = 1U << 0U;
constexpr Features with_avx = 1U << 1U;
constexpr Features with_avx2 = 1U << 2U;
constexpr Features with_avx_vnni = 1U << 3U;
constexpr Features with_avx512 = 1U << 4U;  ///< F, BW, DQ and VL
constexpr Features with_avx512_vnni = 1U << 5U;
constexpr Features with_avx512_bf16 = 1U << 6U;
constexpr Features with_amx = 1U << 7U;  ///< tiles, for int8 and bf16

constexpr Features sse41 = with_sse41;
constexpr Features avx = sse41 | with_avx;
constexpr Features avx2 = avx | with_avx2;
constexpr Features avx2_vnni = avx2 | with_avx_vnni;
constexpr Features avx512_core = avx2 | with_avx512;
constexpr Features avx512_core_vnni = avx512_core | with_avx512_vnni;
constexpr Features avx512_core_bf16 = avx512_core_vnni | with_avx512_bf16;
constexpr Features avx512_core_amx = avx512_core_bf16 | with_amx;

struct Row {
  InstructionSet set;
  Features features;
  dnnl_cpu_isa_t library;
};

/// In the order in which oneDNN prefers them, the last first. The features that two rows share are again
/// those of a row.
constexpr std::array<Row, 8> order{
    {{InstructionSet::sse41, sse41, dnnl_cpu_isa_sse41},
     {InstructionSet::avx, avx, dnnl_cpu_isa_avx},
     {InstructionSet::avx2, avx2, dnnl_cpu_isa_avx2},
     {InstructionSet::avx2_vnni, avx2_vnni, dnnl_cpu_isa_avx2_vnni},
     {InstructionSet::avx512_core, avx512_core, dnnl_cpu_isa_avx512_core},
     {InstructionSet::avx512_core_vnni, avx512_core_vnni, dnnl_cpu_isa_avx512_core_vnni},
     {InstructionSet::avx512_core_bf16, avx512_core_bf16, dnnl_cpu_isa_avx512_core_bf16},
     {InstructionSet::avx512_core_amx, avx512_core_amx, dnnl_cpu_isa_avx512_core_amx}}};

const Row& row_of(InstructionSet set) {
  const auto* row = std::ranges::find(order, set, &Row::set);
  check(row != order.end(), "an instruction set that has been decided on");
  return *row;
}

/// Upper and lower case are the same, as they are to oneDNN.
bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string known_names() {
  std::string names;
  for (const Row& row : order) names += std::string(names.empty() ? "" : ", ").append(name_of(row.set));
  return names;
}

}  // namespace

Features features_of(InstructionSet set) {
  return row_of(set).features;
}

std::string_view name_of(InstructionSet set) {
  return std::ranges::find(config::instruction_set_names, set, [](const auto& pair) { return pair.first; })
      ->second;
}

InstructionSet greatest_within(Features features) {
  const auto row = std::find_if(order.rbegin(), order.rend(),
                                [&](const Row& candidate) { return has(features, candidate.set); });
  if (row == order.rend()) fail(ExitCode::no_device, "this processor has no SSE4.1, which oneDNN needs");
  return row->set;
}

Features processor_features() {
  // The compiler's library asks the operating system too, which must save the wider registers.
  Features features = 0;
  if (__builtin_cpu_supports("sse4.1")) features |= with_sse41;
  if (__builtin_cpu_supports("avx")) features |= with_avx;
  if (__builtin_cpu_supports("avx2")) features |= with_avx2;
  if (__builtin_cpu_supports("avxvnni")) features |= with_avx_vnni;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    features |= with_avx512;
  if (__builtin_cpu_supports("avx512vnni")) features |= with_avx512_vnni;
  if (__builtin_cpu_supports("avx512bf16")) features |= with_avx512_bf16;
  if (__builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") &&
      __builtin_cpu_supports("amx-bf16"))
    features |= with_amx;
  return features;
}

Features allowed_features(Features processor) {
  for (const char* variable : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}) {
    const char* value = std::getenv(variable);
    const std::string_view limit = value == nullptr ? "" : value;
    if (limit.empty()) continue;
    if (same_word(limit, "all") || same_word(limit, "default")) return processor;
    for (const Row& row : order)
      if (same_word(limit, name_of(row.set))) return processor & row.features;
    fail(ExitCode::bad_config, "{} is {}, which names no instruction set: give one of {}, or unset it",
         variable, limit, known_names());
  }
  return processor;
}

void pin_instruction_set(InstructionSet set) {
  // Whether it is accepted shows in what is then in effect; the same one again is not.
  (void)dnnl_set_max_cpu_isa(row_of(set).library);
  const std::string actual = cpu_instruction_set();
  if (actual != name_of(set))
    fail(ExitCode::internal,
         "oneDNN {} computes with {} here and cannot be brought to compute with {}: set "
         "device.instruction_set={}",
         onednn_version(), actual, name_of(set), actual);
}

}  // namespace lockstep::device::cpu
