#include "device/cpu/layer_error.h"

#include <oneapi/dnnl/dnnl_debug.h>

#include "base/error.h"
#include "device/backend.h"

namespace lockstep::device::cpu {

void fail_layer(const Node& node, std::int64_t samples, const dnnl::error& error) {
  fail(ExitCode::internal,
       "layer {} ({} to {}, shards of {} samples): oneDNN {} on {} says: {} ({}). Other sizes of this layer, "
       "or another device.instruction_set, may work",
       node.name, node.in.text(), node.out.text(), samples, onednn_version(), cpu_instruction_set(),
       error.what(), dnnl_status2str(error.status));
}

}  // namespace lockstep::device::cpu
