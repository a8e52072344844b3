#pragma once

/// Before a function whose loops are to be compiled for several instruction sets; the loader picks the one
/// for the processor. With -ffp-contract=off all give the same bits.
#if defined(LOCKSTEP_MULTIVERSION)  // a test asks for one of them
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define LOCKSTEP_MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LOCKSTEP_MULTIVERSION
#endif
