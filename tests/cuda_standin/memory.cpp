#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "race_detector.h"
#include "runtime.h"
#include "settings.h"

namespace lockstep::standin {
namespace {

/// Addresses set aside for a device. ThreadSanitizer has less room.
std::size_t region_bytes() {
  return device_memory_is_hidden() ? std::size_t{1} << 37 : std::size_t{1} << 34;
}

std::size_t round_up(std::size_t value, std::size_t to) {
  return (value + to - 1) / to * to;
}

constexpr std::size_t large_page = std::size_t{1} << 21;

constexpr int open = PROT_READ | PROT_WRITE;

const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

struct sigaction previous_action;

extern "C" void explain_fault(int signal, siginfo_t* info, void* /*context*/) {
  if (Memory::instance().explain(info->si_addr)) {
    std::signal(SIGABRT, SIG_DFL);
    std::abort();
  }
  sigaction(signal, &previous_action, nullptr);  // the access is tried again, and this time is not ours
}

std::string hexadecimal(const void* address) {
  char text[32];
  std::snprintf(text, sizeof text, "%p", address);
  return text;
}

}  // namespace

void poison(void* memory, std::size_t bytes) {
  // Any aligned four bytes are a signalling NaN as a float, and an index far beyond everything as an integer.
  static constexpr unsigned char pattern[] = {0xAD, 0xAD, 0x8B, 0x7F};
  auto* at = static_cast<unsigned char*>(memory);
  const std::size_t whole = bytes / sizeof pattern * sizeof pattern;
  for (std::size_t i = 0; i < whole; i += sizeof pattern) std::memcpy(at + i, pattern, sizeof pattern);
  std::memcpy(at + whole, pattern, bytes - whole);
}

Memory& Memory::instance() {
  static auto* const memory = new Memory;
  return *memory;
}

Memory::Memory() {
  struct sigaction action = {};
  action.sa_sigaction = explain_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &previous_action);
}

Memory::Device& Memory::device(int index) {
  if (index < 0 || index >= max_devices) violation("at most 16 devices are imitated");
  Device& device = devices_[index];
  if (device.region == nullptr) {
    const int protection = device_memory_is_hidden() ? PROT_NONE : open;
    void* region = mmap(nullptr, region_bytes() + large_page, protection,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) violation("no addresses for a device: is there a limit on virtual memory?");
    device.region = static_cast<std::byte*>(region);
    device.region += -reinterpret_cast<std::uintptr_t>(region) % large_page;
    madvise(device.region, region_bytes(), MADV_HUGEPAGE);  // the fewer pages, the faster they are closed
  }
  return device;
}

int Memory::device_of(const void* address) const {
  const auto* at = static_cast<const std::byte*>(address);
  for (int i = 0; i < max_devices; ++i) {
    const std::byte* region = devices_[i].region;
    if (region != nullptr && at >= region && at < region + region_bytes()) return i;
  }
  return -1;
}

void Memory::check_margins(const std::byte* start, const Block& block) {
  std::byte expected[alignment];
  poison(expected, sizeof expected);
  const auto intact = [&](const std::byte* from, const std::byte* to) {
    for (; from < to; ++from) {
      if (*from != expected[(from - block.pages) % 4]) return false;
    }
    return true;
  };
  if (!intact(block.pages, start) || !intact(start + block.bytes, block.pages + block.page_bytes)) {
    violation("something wrote outside of the block of " + std::to_string(block.bytes) + " bytes at " +
              hexadecimal(start) + " that is freed now");
  }
}

void* Memory::allocate(int index, std::size_t bytes) {
  Device& target = device(index);
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), alignment);
  if (size > free_bytes(index)) return nullptr;
  Block block{bytes, target.region + target.next, round_up(size, page)};
  const std::size_t addresses = block.page_bytes + (settings().guards ? page : 0);
  if (target.next + addresses > region_bytes()) violation("a device ran out of addresses");
  target.next += addresses;
  target.used += size;
  const std::byte* start = block.pages + block.page_bytes - size;
  target.live.emplace(start, block);
  protect(index, block, open);
  poison(block.pages, block.page_bytes);
  if (shown_ != index) protect(index, block, PROT_NONE);
  handle_created("device memory");
  return const_cast<std::byte*>(start);
}

void Memory::free(void* address) {
  const int index = device_of(address);
  if (index < 0) violation("cudaFree: " + hexadecimal(address) + " is not device memory");
  Device& target = devices_[index];
  const auto found = target.live.find(static_cast<const std::byte*>(address));
  if (found == target.live.end()) {
    violation("cudaFree: " + hexadecimal(address) +
              (target.freed.contains(static_cast<const std::byte*>(address))
                   ? " was freed already"
                   : " is not the start of a block"));
  }
  const Block block = found->second;
  protect(index, block, open);
  check_margins(found->first, block);
  if (device_memory_is_hidden() && settings().guards) {  // gone for good
    mmap(block.pages, block.page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
         -1, 0);
  } else {
    std::memset(address, 0xFF, block.bytes);  // not a number; and a write that ThreadSanitizer sees
    if (shown_ != index) protect(index, block, PROT_NONE);
  }
  target.used -= round_up(std::max<std::size_t>(block.bytes, 1), alignment);
  target.freed.emplace(found->first, block.bytes);
  target.live.erase(found);
  if (target.live.empty() && device_memory_is_hidden() &&
      !settings().guards) {  // begin anew: addresses recur
    madvise(target.region, target.next, MADV_DONTNEED);
    target.next = 0;
    target.freed.clear();
  }
  handle_destroyed("device memory");
}

void* Memory::allocate_pinned(std::size_t bytes) {
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), alignment);
  const std::size_t page_bytes = round_up(size, page);
  void* pages = mmap(nullptr, page_bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  mprotect(static_cast<std::byte*>(pages) + page_bytes, page, PROT_NONE);
  Block block{bytes, static_cast<std::byte*>(pages), page_bytes};
  poison(block.pages, block.page_bytes);
  const std::byte* start = block.pages + page_bytes - size;
  pinned_.emplace(start, block);
  handle_created("page-locked memory");
  return const_cast<std::byte*>(start);
}

void Memory::free_pinned(void* address) {
  const auto found = pinned_.find(static_cast<const std::byte*>(address));
  if (found == pinned_.end())
    violation("cudaFreeHost: " + hexadecimal(address) + " is not page-locked memory");
  check_margins(found->first, found->second);
  munmap(found->second.pages, found->second.page_bytes + page);
  pinned_.erase(found);
  handle_destroyed("page-locked memory");
}

std::size_t Memory::free_bytes(int index) const {
  return total_bytes() - devices_[index].used;
}

std::size_t Memory::total_bytes() {
  return static_cast<std::size_t>(settings().memory_mb) << 20U;
}

void Memory::protect(int index, const Block& block, int protection) const {
  if (!device_memory_is_hidden()) return;
  const Device& target = devices_[index];
  if (settings().guards) {
    mprotect(block.pages, block.page_bytes, protection);
  } else {
    mprotect(target.region, round_up(target.next, large_page), protection);
  }
}

void Memory::set_accessible(int index, bool accessible) const {
  for (const auto& [start, block] : devices_[index].live) {
    protect(index, block, accessible ? open : PROT_NONE);
    if (!settings().guards) return;
  }
}

void Memory::show(int index, std::string operation) {
  if (shown_ != index) {
    hide();
    set_accessible(index, true);
    shown_ = index;
  }
  operation_ = std::move(operation);
}

void Memory::hide() {
  operation_.clear();
  if (shown_ >= 0) set_accessible(std::exchange(shown_, -1), false);
}

const Memory::Blocks::value_type* Memory::find(const Blocks& blocks, const void* address, std::size_t bytes) {
  const auto* at = static_cast<const std::byte*>(address);
  auto after = blocks.upper_bound(at);
  if (after == blocks.begin()) return nullptr;
  const auto& entry = *--after;
  return at + bytes <= entry.first + entry.second.bytes ? &entry : nullptr;
}

std::string Memory::problem(int index, const void* address, std::size_t bytes) const {
  if (bytes == 0 || find(pinned_, address, bytes) != nullptr) return {};
  const std::string what = std::to_string(bytes) + " bytes at " + hexadecimal(address);
  const int owner = device_of(address);
  if (owner < 0) return what + " are neither device memory nor page-locked memory";
  if (owner != index) return what + " are memory of device " + std::to_string(owner);
  if (find(devices_[owner].live, address, bytes) != nullptr) return {};
  return what + " are not within one live block of device memory";
}

bool Memory::is_device(const void* address) const {
  return device_of(address) >= 0;
}

bool Memory::is_pinned(const void* address, std::size_t bytes) const {
  return find(pinned_, address, bytes) != nullptr;
}

bool Memory::explain(const void* address) const {
  const int index = device_of(address);
  if (index < 0) return false;
  const auto* at = static_cast<const std::byte*>(address);
  const Device& owner = devices_[index];
  std::string where = "outside of all blocks";
  if (const auto* block = find(owner.live, address, 1)) {
    where =
        "byte " + std::to_string(at - block->first) + " of a block of " + std::to_string(block->second.bytes);
  } else if (auto after = owner.live.upper_bound(at); after != owner.live.begin()) {
    const auto& [start, before] = *--after;
    if (at < before.pages + before.page_bytes + page) {
      where = "byte " + std::to_string(at - start) + " of a block of only " + std::to_string(before.bytes);
    }
  }
  if (auto after = owner.freed.upper_bound(at); after != owner.freed.begin()) {
    const auto& [start, bytes] = *--after;
    if (at < start + bytes) where = "a block of " + std::to_string(bytes) + " bytes that was freed";
  }
  const std::string who = operation_.empty() ? "the host" : "operation '" + operation_ + "'";
  std::fprintf(stderr, "cuda_standin: %s touched memory of device %d at %p: %s\n", who.c_str(), index,
               address, where.c_str());
  return true;
}

}  // namespace lockstep::standin
