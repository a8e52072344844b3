#pragma once

#include <string>

namespace lockstep::comm {

/// Of the NCCL that this program runs with, "2.28.9"; empty where it was built without. As
/// make_nccl_collective, in a file that the build chooses.
std::string nccl_version();

}  // namespace lockstep::comm
