#pragma once

#include "config/experiment.h"
#include "config/problems.h"
#include "config/provenance.h"

namespace lockstep::config {

/// Checks what no single key can tell: rules between keys. Keys that have a problem already are left alone.
/// Whether shapes fit the data is for nn to say.
void validate(const Experiment& experiment, const Provenance& provenance, Problems& problems);

}  // namespace lockstep::config
