#include "data/import/idx_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/error.h"

namespace lockstep::data {
namespace {

std::optional<DType> type_of_code(std::byte code) {
  switch (std::to_integer<int>(code)) {
    case 0x08:
      return DType::u8;
    case 0x09:
      return DType::i8;
    case 0x0B:
      return DType::i16;
    case 0x0C:
      return DType::i32;
    case 0x0D:
      return DType::f32;
    case 0x0E:
      return DType::f64;
    default:
      return std::nullopt;
  }
}

void reverse_each(std::span<std::byte> bytes, std::size_t element_bytes) {
  for (std::size_t i = 0; i < bytes.size(); i += element_bytes)
    std::ranges::reverse(bytes.subspan(i, element_bytes));
}

}  // namespace

IdxFile::IdxFile(const std::filesystem::path& path) : file_(path) {
  read_header();
  check_length();
}

void IdxFile::read_header() {
  if (file_.stored_bytes() == 0) fail(ExitCode::bad_data, "'{}' is empty", name());
  std::array<std::byte, 4> magic{};
  const bool whole = file_.read(magic) == magic.size();
  const std::optional<DType> type = type_of_code(magic[2]);
  const auto rank = std::to_integer<std::size_t>(magic[3]);
  if (!whole || magic[0] != std::byte{0} || magic[1] != std::byte{0} || !type || rank == 0)
    fail(ExitCode::bad_data, "'{}' is not an IDX file: its first bytes are not those of the format", name());
  type_ = *type;

  std::vector<std::byte> header(rank * 4);
  if (file_.read(header) != header.size())
    fail(ExitCode::bad_data, "'{}' is cut off within its IDX header", name());
  std::vector<std::int64_t> extents;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    std::int64_t extent = 0;
    for (std::size_t i = 0; i < 4; ++i)
      extent = extent << 8 | std::to_integer<std::int64_t>(header[axis * 4 + i]);
    extents.push_back(extent);
  }
  shape_ = Shape(std::move(extents));
  header_bytes_ = static_cast<std::int64_t>(magic.size() + header.size());
}

void IdxFile::check_length() const {
  std::int64_t bytes = static_cast<std::int64_t>(size_of(type_));
  bool overflow = false;
  for (const std::int64_t extent : shape_.extents())
    overflow = overflow || __builtin_mul_overflow(bytes, extent, &bytes);
  overflow = overflow || __builtin_add_overflow(bytes, header_bytes_, &bytes);
  if (!overflow && bytes <= file_.most_bytes() && (file_.compressed() || bytes == file_.stored_bytes()))
    return;
  const std::string promised = overflow ? "more than any file has" : std::to_string(bytes);
  if (file_.compressed())
    fail(ExitCode::bad_data, "'{}' promises {} bytes ({} of {}), which {} gzipped bytes cannot hold", name(),
         promised, shape_.text(), name_of(type_), file_.stored_bytes());
  fail(ExitCode::bad_data, "'{}' has {} bytes, but its header promises {} ({} of {})", name(),
       file_.stored_bytes(), promised, shape_.text(), name_of(type_));
}

void IdxFile::read(std::span<std::byte> out) {
  const std::size_t count = file_.read(out);
  if (count != out.size())
    fail(ExitCode::bad_data, "'{}' ends before the {} of {} that its header promises", name(), shape_.text(),
         name_of(type_));
  if (std::endian::native == std::endian::little && size_of(type_) > 1) reverse_each(out, size_of(type_));
}

void IdxFile::finish() {
  std::byte extra{};
  if (file_.read({&extra, 1}) != 0)
    fail(ExitCode::bad_data, "'{}' goes on after the {} of {} that its header promises", name(),
         shape_.text(), name_of(type_));
}

}  // namespace lockstep::data
