#include "support/allocation_watch.h"

#include <execinfo.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
// Of the sanitizer's library; not every compiler comes with the header.
extern "C" int __sanitizer_install_malloc_and_free_hooks(  // NOLINT(bugprone-reserved-identifier)
    void (*malloc_hook)(const volatile void*, std::size_t), void (*free_hook)(const volatile void*));
#else
// What the C library calls its own.
extern "C" {
void* __libc_malloc(std::size_t bytes);                           // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t count, std::size_t bytes);        // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* memory, std::size_t bytes);            // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t alignment, std::size_t bytes);  // NOLINT(bugprone-reserved-identifier)
}
#endif

namespace lockstep::testing {
namespace {

constexpr std::size_t most_modules = 256;
constexpr int most_frames = 48;

/// A loaded object: the program or a library.
struct Module {
  std::uintptr_t begin = 0, end = 0;
  std::string name;
  bool is_program = false;
  bool is_transparent = false;  // works for whoever called it
};

// Filled while nothing is watched, read by the hooks.
std::vector<Module> modules;
std::array<std::atomic<std::int64_t>, most_modules> counts;
std::atomic<std::int64_t> own_count;
std::array<void*, most_frames> first_own_frames;
std::atomic<int> first_own_depth;

std::atomic<bool> watching;
thread_local bool within_hook = false;

int add_module(dl_phdr_info* info, std::size_t /*size*/, void* /*data*/) {
  Module module;
  module.begin = UINTPTR_MAX;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD) continue;
    const std::uintptr_t address = info->dlpi_addr + segment.p_vaddr;
    module.begin = std::min(module.begin, address);
    module.end = std::max<std::uintptr_t>(module.end, address + segment.p_memsz);
  }
  const std::string_view path = info->dlpi_name;
  module.is_program = modules.empty();  // dl_iterate_phdr begins with it
  module.name = path.substr(path.rfind('/') + 1);
  for (const std::string_view name :
       {"libc.so", "libstdc++.so", "libgcc_s.so", "libm.so", "ld-linux", "libfmt.so", "libasan.so"})
    module.is_transparent = module.is_transparent || module.name.starts_with(name);
  if (modules.size() < most_modules) modules.push_back(module);
  return 0;
}

const Module* module_of(const void* frame) {
  const auto address = reinterpret_cast<std::uintptr_t>(frame);
  const auto found = std::find_if(modules.begin(), modules.end(), [&](const Module& module) {
    return module.begin <= address && address < module.end;
  });
  return found == modules.end() ? nullptr : &*found;
}

/// Itself a part of the program, as is the hook: those two frames are skipped.
__attribute__((noinline)) void count_allocation() {
  constexpr int own_frames = 2;
  std::array<void*, most_frames> frames;
  const int depth = backtrace(frames.data(), most_frames);
  for (int i = own_frames; i < depth; ++i) {
    const Module* module = module_of(frames.at(static_cast<std::size_t>(i)));
    if (module != nullptr && module->is_transparent) continue;
    if (module != nullptr && !module->is_program) {
      ++counts.at(static_cast<std::size_t>(module - modules.data()));
      return;
    }
    break;
  }
  if (own_count.fetch_add(1) == 0) {
    first_own_frames = frames;
    first_own_depth = depth;
  }
}

/// Within the hook that calls it, so that it adds no frame.
__attribute__((always_inline)) inline void note_allocation() {
  if (!watching.load(std::memory_order_relaxed) || within_hook) return;
  within_hook = true;
  count_allocation();
  within_hook = false;
}

}  // namespace

void start_watching() {
  modules.clear();
  modules.reserve(most_modules);
  dl_iterate_phdr(add_module, nullptr);
  for (auto& count : counts) count = 0;
  own_count = 0;
  first_own_depth = 0;
  std::array<void*, 1> frame{};
  backtrace(frame.data(), 1);  // loads what it needs
  watching = true;
}

Allocations stop_watching() {
  watching = false;
  Allocations result;
  result.own = own_count;
  for (std::size_t i = 0; i < modules.size(); ++i)
    if (counts.at(i) > 0) result.libraries[modules[i].name] = counts.at(i);
  const int depth = first_own_depth;
  struct Free {
    void operator()(char** memory) const { std::free(memory); }
  };
  const std::unique_ptr<char*, Free> names(backtrace_symbols(first_own_frames.data(), depth));
  for (int i = 0; i < depth; ++i) result.first_own += std::string(names.get()[i]) + "\n";
  return result;
}

}  // namespace lockstep::testing

#ifdef __SANITIZE_ADDRESS__

namespace {

// The sanitizer has replaced malloc itself, and tells of each call.
[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void* /*memory*/, std::size_t /*bytes*/) { lockstep::testing::note_allocation(); },
    [](const volatile void* /*memory*/) {});

}  // namespace

#else

// Parameters have the names of the C library's declarations.
extern "C" {

void* malloc(std::size_t size) {
  lockstep::testing::note_allocation();
  return __libc_malloc(size);
}

void* calloc(std::size_t nmemb, std::size_t size) {
  lockstep::testing::note_allocation();
  return __libc_calloc(nmemb, size);
}

void* realloc(void* ptr, std::size_t size) {
  lockstep::testing::note_allocation();
  return __libc_realloc(ptr, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  lockstep::testing::note_allocation();
  return __libc_memalign(alignment, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  lockstep::testing::note_allocation();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** memptr, std::size_t alignment, std::size_t size) {
  lockstep::testing::note_allocation();
  *memptr = __libc_memalign(alignment, size);
  return *memptr == nullptr ? ENOMEM : 0;
}

}  // extern "C"

#endif
