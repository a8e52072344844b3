#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/aligned_buffer.h"

namespace lockstep {

/// Between -1 and 1, the same each time.
AlignedBuffer<float> random_floats(std::int64_t count);

/// Of one core's multiply-add units, in GFLOP/s; measured when it is first asked for.
double measured_peak();

/// Names a benchmark of `operations` by definition, of which a share is really done.
void add_arithmetic(const std::string& name, double operations, double done_share,
                    const std::function<void()>& run);
/// One that writes so many bytes.
void add_packing(const std::string& name, std::int64_t bytes, const std::function<void()>& run);

}  // namespace lockstep
