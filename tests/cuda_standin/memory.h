#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace lockstep::standin {

inline constexpr std::size_t alignment = 256;

/// Device memory and page-locked memory of the host.
///
/// Each device has a range of addresses of its own. A block ends where its last page ends (rounded up to
/// `alignment`), with an inaccessible page behind it, and its addresses are never given out again: what runs
/// over the end or comes too late meets no memory. Blocks are poisoned at first; the bytes around them within
/// their pages are checked when they are freed.
///
/// With guards=0 the whole region is opened and closed at once, which is much cheaper where there are many
/// blocks: accesses to freed blocks and beyond the end then meet poison, and only what they write is noticed,
/// if it is next to a live block.
///
/// Host code cannot reach device memory but between show() and hide(); a SIGSEGV there is explained.
class Memory {
 public:
  static Memory& instance();

  /// Null when the device has no memory left.
  [[nodiscard]] void* allocate(int index, std::size_t bytes);
  void free(void* address);
  [[nodiscard]] void* allocate_pinned(std::size_t bytes);
  void free_pinned(void* address);
  [[nodiscard]] std::size_t free_bytes(int index) const;
  [[nodiscard]] static std::size_t total_bytes();  ///< of each device

  /// Makes the live blocks of a device, and of no other, accessible. `operation` is for explaining accesses
  /// that go astray.
  void show(int index, std::string operation);
  void hide();

  /// Empty if the bytes lie in one live block of the device or of page-locked memory, else what is wrong.
  [[nodiscard]] std::string problem(int index, const void* address, std::size_t bytes) const;
  [[nodiscard]] bool is_device(const void* address) const;  ///< whether it is an address of any device
  [[nodiscard]] bool is_pinned(const void* address, std::size_t bytes) const;

  /// For the signal handler: prints what is known about the address; false if it is not a device's.
  bool explain(const void* address) const;

 private:
  struct Block {
    std::size_t bytes = 0;
    std::byte* pages = nullptr;
    std::size_t page_bytes = 0;
  };
  struct Device {
    std::byte* region = nullptr;
    std::size_t next = 0;  ///< offset of what has not been given out
    std::size_t used = 0;
    std::map<const std::byte*, Block> live;
    std::map<const std::byte*, std::size_t> freed;
  };
  using Blocks = std::map<const std::byte*, Block>;

  Memory();
  Device& device(int index);
  [[nodiscard]] int device_of(const void* address) const;  ///< -1: none
  /// With guards=0, all of the device's blocks.
  void protect(int index, const Block& block, int protection) const;
  void set_accessible(int index, bool accessible) const;
  static void check_margins(const std::byte* start, const Block& block);
  [[nodiscard]] static const Blocks::value_type* find(const Blocks& blocks, const void* address,
                                                      std::size_t bytes);

  static constexpr int max_devices = 16;
  Device devices_[max_devices];
  Blocks pinned_;
  int shown_ = -1;
  std::string operation_;  ///< empty while the host runs
};

}  // namespace lockstep::standin
