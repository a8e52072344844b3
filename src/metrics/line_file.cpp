#include "metrics/line_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "io/atomic_file.h"

namespace lockstep::metrics {

LineFile::LineFile(std::string path)
    : path_(std::move(path)),
      descriptor_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666)) {
  if (!descriptor_)
    fail(ExitCode::cannot_create, "cannot create '{}': {}", path_, std::generic_category().message(errno));
}

void LineFile::append(std::string_view lines) {
  try {
    io::write_all(descriptor_.get(), std::as_bytes(std::span(lines)), path_);
  } catch (const Error&) {
    if (::ftruncate(descriptor_.get(), length_) != 0)
      log::warning("'{}' may end in an incomplete line: {}", path_, std::generic_category().message(errno));
    throw;
  }
  length_ += static_cast<std::int64_t>(lines.size());
}

}  // namespace lockstep::metrics
