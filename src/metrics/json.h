#pragma once

#include <nlohmann/json_fwd.hpp>

#include "metrics/record.h"

/// The records as JSON objects, keys in the order in which they are declared. Numbers that are not finite
/// become null: JSON has no word for them.
namespace lockstep::metrics {

/// Keys as the columns of metrics.csv; without a validation set val_loss and val_accuracy are null.
nlohmann::ordered_json to_json(const EpochRecord& record);

/// `last` and `best` are objects as above, or null.
nlohmann::ordered_json to_json(const RunSummary& summary);

}  // namespace lockstep::metrics
