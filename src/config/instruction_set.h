#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace lockstep::config {

/// What a library computes with. The names are those that oneDNN has in versions 2 and 3; device/cpu knows
/// their order.
enum class InstructionSet : std::uint8_t {
  automatic,
  sse41,
  avx,
  avx2,
  avx2_vnni,
  avx512_core,
  avx512_core_vnni,
  avx512_core_bf16,
  avx512_core_amx
};

inline constexpr std::array<std::pair<InstructionSet, std::string_view>, 9> instruction_set_names{
    {{InstructionSet::automatic, "auto"},
     {InstructionSet::sse41, "sse41"},
     {InstructionSet::avx, "avx"},
     {InstructionSet::avx2, "avx2"},
     {InstructionSet::avx2_vnni, "avx2_vnni"},
     {InstructionSet::avx512_core, "avx512_core"},
     {InstructionSet::avx512_core_vnni, "avx512_core_vnni"},
     {InstructionSet::avx512_core_bf16, "avx512_core_bf16"},
     {InstructionSet::avx512_core_amx, "avx512_core_amx"}}};

}  // namespace lockstep::config
