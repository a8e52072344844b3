#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "train/compare_digests.h"
#include "train/compare_settings.h"
#include "train/compare_tensors.h"
#include "train/compared_run.h"

/// The parts of what `lockstep compare` prints. Each but the first begins with an empty line, if it is not
/// empty.
namespace lockstep::train {

/// How two runs were made differently.
struct SetupDifferences {
  std::vector<SetupDifference> settings;    ///< that change results
  std::vector<SetupDifference> arithmetic;  ///< data, build, libraries, processor
  std::vector<SetupDifference> harmless;    ///< what no bit of the results depends on
};

/// "identical through step 1407, where both end", or the first difference. One or two lines.
std::string verdict_text(const DigestComparison& digests);

/// The two runs, and how far they came.
std::string runs_text(const ComparedRun& a, const ComparedRun& b);

/// All of them, the first marked.
std::string tensors_text(std::int64_t step, std::span<const TensorDifference> tensors);

std::string setup_text(const SetupDifferences& setup);

}  // namespace lockstep::train
