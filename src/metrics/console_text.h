#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "metrics/record.h"

/// The texts that the console prints, as pure functions. All ASCII but for what the experiment itself brings.
namespace lockstep::metrics {

enum class Style : std::uint8_t { plain, bold, dim, green, yellow, red };

/// `text` in a style, or as it is where `colour` is false.
std::string styled(std::string_view text, Style style, bool colour);

/// Several lines, each with its newline.
std::string header_text(const RunHeader& header, bool colour);

/// The heads of the table's columns, and a row beneath them; validation columns only where there is a set.
std::string heads_text(bool has_validation, bool colour);
std::string row_text(const EpochRecord& record, bool has_validation);

/// The live line: at most `columns` characters, without a newline. What does not fit is left out from the
/// right, a field at a time; a bar fills what is over. It becomes all of `line`, without allocating while
/// that has room.
void progress_text(const StepRecord& record, std::size_t columns, fmt::memory_buffer& line);

/// Several lines, each with its newline.
std::string summary_text(const RunSummary& summary, bool colour);

}  // namespace lockstep::metrics
