#include "metrics/line_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "io/atomic_file.h"

namespace lockstep::metrics {
namespace {

std::string read_all(int descriptor, const std::string& path) {
  constexpr std::size_t buffer_size = 1 << 16;
  std::vector<char> buffer(buffer_size);
  std::string text;
  while (true) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got == 0) return text;
    if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR)
      fail(ExitCode::no_input, "cannot read '{}': {}", path, std::generic_category().message(errno));
  }
}

}  // namespace

LineFile::LineFile(std::string path)
    : path_(std::move(path)),
      descriptor_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666)) {
  if (!descriptor_)
    fail(ExitCode::cannot_create, "cannot create '{}': {}", path_, std::generic_category().message(errno));
}

LineFile::LineFile(std::string path, const std::function<bool(std::string_view line)>& belongs)
    : path_(std::move(path)),
      descriptor_(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (!descriptor_)
    fail(ExitCode::cannot_create, "cannot open '{}': {}", path_, std::generic_category().message(errno));
  const std::string text = read_all(descriptor_.get(), path_);
  for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    if (!belongs(std::string_view(text).substr(begin, end - begin))) break;
    length_ = static_cast<std::int64_t>(end) + 1;
    ++kept_lines_;
  }
  if (::ftruncate(descriptor_.get(), length_) != 0)
    fail(ExitCode::io_error, "cannot cut '{}': {}", path_, std::generic_category().message(errno));
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

std::optional<std::int64_t> leading_number(std::string_view line) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (error != std::errc() || end == line.data() + line.size() || *end != ',') return std::nullopt;
  return number;
}

}  // namespace lockstep::metrics
