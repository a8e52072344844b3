#include "config/parse.h"

#include <vector>

#include "config/reader.h"
#include "config/validate.h"

namespace lockstep::config {

Experiment parse(std::string_view text, const std::string& source, std::span<const std::string> overrides) {
  Problems problems(source, {overrides.begin(), overrides.end()});
  std::optional<Node> root = parse_yaml(text, {}, problems);
  // What follows a syntax error is guesswork.
  if (!root) problems.throw_if_any();
  apply_overrides(*root, overrides, problems);

  Experiment experiment;
  experiment.source = source;
  Reading reading{.problems = problems, .provenance = {}};
  read(reading, *root, "", experiment);
  validate(experiment, reading.provenance, problems);
  problems.throw_if_any();
  return experiment;
}

}  // namespace lockstep::config
