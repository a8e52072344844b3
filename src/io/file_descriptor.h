#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "base/unique_handle.h"

namespace lockstep::io {

struct FileDescriptorTraits {
  using Type = int;
  static constexpr Type null() noexcept { return -1; }
  static void close(Type descriptor) noexcept {
    if (::close(descriptor) != 0) log::warning("closing a file failed: {}", std::strerror(errno));
  }
};
/// An open file of the operating system.
using FileDescriptor = UniqueHandle<FileDescriptorTraits>;

}  // namespace lockstep::io
