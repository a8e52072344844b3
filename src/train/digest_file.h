#pragma once

#include <istream>
#include <string>
#include <vector>

#include "metrics/record.h"

namespace lockstep::train {

/// The rows of a digests.csv, steps ascending (metrics::Digests writes them). `path` is for messages.
/// Error(bad_data) naming file and line when one is no such row, cut off, or out of order.
std::vector<metrics::DigestRecord> parse_digests(std::istream& text, const std::string& path);

/// Error(no_input) when the file cannot be read.
std::vector<metrics::DigestRecord> read_digests(const std::string& path);

}  // namespace lockstep::train
