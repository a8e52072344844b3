#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/snapshot.h"
#include "tensor/parameters.h"

namespace lockstep::checkpoint {

/// The tensors of a small network. Sizes that leave gaps in the slab; one tensor of a single number.
Parameters small_model();

/// Every number another, gaps zero, as in any slab. Other salts give other numbers.
std::vector<float> slab_of(const Parameters& parameters, int salt = 1);

/// A snapshot of a training after so many steps, 40 in an epoch: every member another and none at its
/// default.
Snapshot snapshot_of(const Parameters& parameters, std::int64_t global_step);
/// An average of 12 weights; its digest is not that of its values.
void add_average(Snapshot& snapshot, const Parameters& parameters);

/// Expects the same bits everywhere.
void expect_equal(const Snapshot& found, const Snapshot& expected);

std::string contents(const std::string& path);
void overwrite(const std::string& path, const std::string& bytes);
/// Gives a file that was changed the seal that fits it.
void seal_again(const std::string& path);
/// Flips one bit of the last byte of `values` where they lie in the file.
void damage_values(const std::string& path, std::span<const float> values);

}  // namespace lockstep::checkpoint
