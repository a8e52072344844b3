#pragma once

#include <map>
#include <memory>

#include "device/accelerator.h"

namespace lockstep::train {

/// Work that is queued over and over: piece by piece the first time, so that libraries load what they need,
/// and as captured graphs from then on. Each variant must be the same each time.
class RepeatedWork {
 public:
  /// Queues what `work` queues on the stream, in one of several variants, which are captured apart.
  template <class Work>
  void queue(device::Stream& stream, const Work& work) {
    queue(stream, 0, work);
  }
  template <class Work>
  void queue(device::Stream& stream, std::size_t variant, const Work& work) {
    if (!done_once_) {
      work();
      done_once_ = true;
      return;
    }
    std::unique_ptr<device::Graph>& graph = graphs_[variant];
    if (!graph) graph = stream.capture(work);
    graph->launch(stream);
  }

 private:
  bool done_once_ = false;
  std::map<std::size_t, std::unique_ptr<device::Graph>> graphs_;
};

}  // namespace lockstep::train
