#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/hdf5.h"

namespace lockstep::io::hdf5 {

/// Attributes of a file, group or data set: one text (UTF-8 of fixed length) or one integer. Writing throws
/// as NewFile::fail_to_write does; `object` must lie in `file`.
void write_attribute(const NewFile& file, hid_t object, const std::string& name, std::string_view text);
void write_attribute(const NewFile& file, hid_t object, const std::string& name, std::int64_t value);

/// Nothing when there is no such attribute or it is of another kind.
std::optional<std::string> read_text(hid_t object, const std::string& name);
std::optional<std::int64_t> read_integer(hid_t object, const std::string& name);

}  // namespace lockstep::io::hdf5
