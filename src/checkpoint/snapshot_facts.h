#pragma once

#include <map>
#include <string>

#include "checkpoint/snapshot.h"
#include "io/hdf5.h"

namespace lockstep::checkpoint {

/// The contents of a file, as far as the checksum of its root covers them: the text of each attribute by its
/// name, and the checksum of each data set by its path.
using Contents = std::map<std::string, std::string>;

/// The checksum of all lines "<name> <text>\n", in the order of their bytes.
std::string checksum_of(const Contents& contents);

/// Writes the single numbers of a snapshot as attributes of the root, and adds them to `contents`.
void write_facts(const io::hdf5::NewFile& file, const Snapshot& snapshot, Contents& contents);

/// Reads them into `snapshot`, and adds them to `contents`. Error(bad_data) naming an attribute that is
/// missing or no number.
void read_facts(const io::hdf5::File& file, const std::string& path, Snapshot& snapshot, Contents& contents);

}  // namespace lockstep::checkpoint
