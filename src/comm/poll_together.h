#pragma once

#include <chrono>
#include <functional>
#include <string_view>

#include "comm/world.h"

namespace lockstep::comm {

/// For what gets on by itself while each rank looks after it, and might never be done where one has failed:
/// calls poll() on every rank, again and again, until it has returned true on all of them. Where it throws on
/// a rank, or one is not done within `limit`, all ranks give up and throw the same AgreedError, as
/// World::agree does; `what` names the work in the latter's message, "connecting the ranks". Collective.
void poll_together(World& world, std::string_view what, std::chrono::milliseconds limit,
                   const std::function<bool()>& poll);

}  // namespace lockstep::comm
