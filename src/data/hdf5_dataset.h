#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/partition.h"
#include "config/experiment.h"
#include "data/dataset.h"
#include "data/stripes.h"

namespace lockstep::data {

/// Reads the facts about a data set without its images: opens the file, checks both data sets (types, ranks,
/// equal lengths, storage, labels), counts the classes. Throws Error naming file and data set: no_input when
/// the file cannot be read, bad_data when its contents are wrong.
DatasetInfo inspect_dataset(const config::Split& split);

/// Reads the rows of the stripes in `shards` (of `stripes`, which must have info.samples samples) and no
/// others, or with no stripes the whole set. Call after MPI is initialised, from one thread per process.
struct ReadStatistics {
  std::int64_t image_bytes_read = 0;  ///< asked of the file for images; more than kept only for chunked files
};
std::unique_ptr<Dataset> read_dataset(const config::Split& split, const DatasetInfo& info,
                                      const std::optional<Stripes>& stripes, Range shards,
                                      ReadStatistics* statistics = nullptr);

}  // namespace lockstep::data
