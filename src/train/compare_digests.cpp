#include "train/compare_digests.h"

#include <fmt/format.h>

#include <vector>

namespace lockstep::train {
namespace {

std::optional<DigestDifference> difference_of(const metrics::DigestRecord& a,
                                              const metrics::DigestRecord& b) {
  DigestDifference found{.step = a.step, .epoch_a = a.epoch, .epoch_b = b.epoch};
  found.weights = a.weights != b.weights;
  if (a.at_epoch_end && b.at_epoch_end) {
    found.optimizer = a.at_epoch_end->optimizer != b.at_epoch_end->optimizer;
    found.samples = a.at_epoch_end->samples != b.at_epoch_end->samples;
    found.metrics = a.at_epoch_end->metrics != b.at_epoch_end->metrics;
  }
  const bool differs =
      found.weights || found.optimizer || found.samples || found.metrics || a.epoch != b.epoch;
  return differs ? std::optional(found) : std::nullopt;
}

}  // namespace

DigestComparison compare_digests(std::span<const metrics::DigestRecord> a,
                                 std::span<const metrics::DigestRecord> b) {
  DigestComparison result{.last_a = a.back().step, .last_b = b.back().step};
  for (auto in_a = a.begin(), in_b = b.begin(); in_a != a.end() && in_b != b.end();) {
    if (in_a->step < in_b->step) {
      ++in_a;
    } else if (in_b->step < in_a->step) {
      ++in_b;
    } else {
      ++result.compared;
      if (in_a->weights != in_b->weights) result.weights_differ = in_a->step;
      if (!result.first) result.first = difference_of(*in_a, *in_b);
      if (result.weights_differ) break;
      if (!result.first) result.equal_through = in_a->step;
      ++in_a;
      ++in_b;
    }
  }
  return result;
}

std::string parts_text(const DigestDifference& difference) {
  std::vector<std::string_view> parts;
  if (difference.weights) parts.emplace_back("weights");
  if (difference.optimizer) parts.emplace_back("optimizer");
  if (difference.samples) parts.emplace_back("order of samples");
  if (difference.metrics) parts.emplace_back("metrics");
  if (difference.epoch_a != difference.epoch_b) parts.emplace_back("the epoch that the step belongs to");
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace lockstep::train
