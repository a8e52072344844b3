#pragma once

#include <string>

namespace lockstep::train {

struct CompareReport {
  bool identical = false;
  std::string text;  ///< for a person
};

/// Compares what two runs recorded, finished or not: the first step at which they differ and in what, the
/// tensors, the set-up, and how to replay both. `program` is how this program is called. Needs no MPI and no
/// data.
///
/// Error(no_input) when there is no such run or one of its files is missing, Error(bad_data) naming file and
/// line when one is damaged or no step has a digest in both. A damaged checkpoint is a warning, and another
/// one is taken.
CompareReport compare_runs(const std::string& path_a, const std::string& path_b, const std::string& program);

}  // namespace lockstep::train
