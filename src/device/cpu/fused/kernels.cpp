// One source for all instruction sets: Highway includes this file again for each, and picks one at run time.
//
// Targets with vectors but without fused multiply-adds (SSSE3, SSE4) are left out: they would have to compute
// them one by one, as the least target does. So are those whose vectors have no size at compile time (SVE,
// RISC-V): blocks of registers are arrays here. And so are those above AVX-512, whose numbers are less than
// its own: they have nothing more for floats, and each takes half a minute to compile.
#include "device/cpu/fused/kernels.h"

#include <dnnl.h>

#include <mutex>

#define HWY_DISABLED_TARGETS \
  ((HWY_AVX3 - 1) | HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device/cpu/fused/kernels.cpp"  // NOLINT
// clang-format off: the order matters
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on
#include "device/cpu/fused/dense_forward-inl.h"
#include "device/cpu/fused/dense_gradient-inl.h"
#include "device/cpu/fused/dense_product-inl.h"
#include "device/cpu/fused/direct-inl.h"
#include "device/cpu/fused/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

const Kernels* target_kernels() {
  static const Kernels table{.instruction_set = hwy::TargetName(HWY_TARGET),
                             .lanes = lanes,
                             .winograd2x3 = Winograd<2, 3>::method(),
                             .winograd2x5 = Winograd<2, 5>::method(),
                             .winograd4x3 = Winograd<4, 3>::method(),
                             .winograd4x5 = Winograd<4, 5>::method(),
                             .direct3 = Direct<3>::method(),
                             .direct5 = Direct<5>::method(),
                             .dense_forward = DenseForwards::method(),
                             .dense_product = DenseProducts::method(),
                             .dense_gradient = DenseGradients::method()};
  return &table;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep::device::cpu::fused {

HWY_EXPORT(target_kernels);

namespace {

/// Leaves out what is wider than oneDNN's instruction set.
void keep_to_instruction_set() {
#if HWY_ARCH_X86
  constexpr unsigned wide = dnnl_cpu_isa_avx512_core;
  if ((static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & wide) == wide) return;
  hwy::DisableTargets(HWY_AVX2 - 1);  // the numbers of better targets are less
#endif
}

}  // namespace

const Kernels& kernels() {
  static std::once_flag once;
  std::call_once(once, keep_to_instruction_set);
  return *HWY_DYNAMIC_DISPATCH(target_kernels)();
}

std::vector<Kernels> all_kernels() {
  std::vector<Kernels> all;
  const auto choose = [](std::int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  };
  std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS;
  for (; left != 0; left &= left - 1) {
    choose(left & -left);
    all.push_back(kernels());
  }
  choose(0);
  return all;
}

}  // namespace lockstep::device::cpu::fused
#endif
