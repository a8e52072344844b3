#pragma once

#include <nlohmann/json_fwd.hpp>

#include <optional>

#include "metrics/record.h"

/// The records as JSON objects, keys in the order in which they are declared. Numbers that are not finite
/// become null: JSON has no word for them.
namespace lockstep::metrics {

/// Keys as the columns of metrics.csv; without a validation set val_loss and val_accuracy are null.
nlohmann::ordered_json to_json(const EpochRecord& record);

/// The record that to_json() made an object of, without `epochs`; nothing if it is no such object. A loss
/// that was not finite comes back as NaN.
std::optional<EpochRecord> epoch_of_json(const nlohmann::json& json);

/// `last` and `best` are objects as above, or null.
nlohmann::ordered_json to_json(const RunSummary& summary);

}  // namespace lockstep::metrics
