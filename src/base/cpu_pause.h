#pragma once

namespace lockstep {

/// For a loop that waits for another thread or process: tells the core so, which saves power, leaves more of
/// the core to its other hardware thread, and ends the loop without a flood of mispredicted loads. Takes some
/// 1 to 50 ns, depending on the processor; does nothing where no such instruction is known.
inline void cpu_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace lockstep
