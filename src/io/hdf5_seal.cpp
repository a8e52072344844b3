#include "io/hdf5_seal.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/file_descriptor.h"
#include "io/gzip_file.h"
#include "io/hash.h"

namespace lockstep::io::hdf5 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view beginning = "Sealed by Lockstep: ";

/// What is behind the user block.
struct Contents {
  std::int64_t bytes = 0;
  std::string hash;
};

/// A line, and zeros.
Seal block_of(const Contents& contents) {
  Seal block{};
  fmt::format_to(block.data(), "{}{} bytes follow this block of {}, with the hash {}\n", beginning,
                 contents.bytes, seal_bytes, contents.hash);
  return block;
}

/// Reads until `out` is full or the file ends.
std::size_t read_fully(const FileDescriptor& file, std::span<char> out, const fs::path& path) {
  std::size_t got = 0;
  while (got < out.size()) {
    const ssize_t part = ::read(file.get(), out.data() + got, out.size() - got);
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) fail(ExitCode::no_input, "cannot read '{}': {}", path.string(), std::strerror(errno));
    if (part == 0) break;
    got += static_cast<std::size_t>(part);
  }
  return got;
}

/// All that `file` has from its current position on.
Contents read_contents(const FileDescriptor& file, const fs::path& path) {
  constexpr std::size_t buffer_bytes = 1 << 18;
  std::vector<char> buffer(buffer_bytes);
  Contents contents;
  Hasher hasher;
  while (const std::size_t got = read_fully(file, buffer, path)) {
    hasher.update(std::as_bytes(std::span(buffer).first(got)));
    contents.bytes += static_cast<std::int64_t>(got);
  }
  contents.hash = hasher.text();
  return contents;
}

/// The number of bytes that a seal speaks of; nothing if the block does not begin as one.
std::optional<std::int64_t> sealed_bytes(const Seal& block) {
  if (!std::string_view(block.data(), block.size()).starts_with(beginning)) return std::nullopt;
  std::int64_t bytes = 0;
  if (std::from_chars(&block[beginning.size()], block.data() + block.size(), bytes).ec != std::errc())
    return std::nullopt;
  return bytes;
}

}  // namespace

Seal seal_of(std::span<const std::byte> contents) {
  return block_of({.bytes = std::ssize(contents), .hash = hash_text(contents)});
}

bool has_seal(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string start(beginning.size(), '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  return start == beginning;
}

void check_seal(const fs::path& path, std::string_view what) {
  const FileDescriptor file = open_input(path);
  const std::string name = path.string();
  Seal block{};
  const std::size_t got = read_fully(file, block, path);
  if (got == 0) fail(ExitCode::bad_data, "{}: the file is empty", name);
  const auto wanted = sealed_bytes(block);
  if (!wanted) fail(ExitCode::bad_data, "{}: not {}: it does not begin with '{}'", name, what, beginning);
  const Contents found = read_contents(file, path);
  if (got < block.size() || found.bytes < *wanted)
    fail(ExitCode::bad_data, "{}: the file is cut off: {} of {} bytes are there", name, got + found.bytes,
         seal_bytes + *wanted);
  if (block != block_of(found))
    fail(ExitCode::bad_data,
         "{}: the file is damaged: its {} bytes with the hash {} do not fit its first line", name,
         found.bytes, found.hash);
}

}  // namespace lockstep::io::hdf5
