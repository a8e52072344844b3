#pragma once

namespace lockstep::standin {

/// Two ranks in this process add up their numbers; a stream that waits for the sum, or does not, reads it.
void all_reduce_scenario(bool sound);

}  // namespace lockstep::standin
