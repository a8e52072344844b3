#pragma once

#include <memory>

#include "device/accelerator.h"

namespace lockstep::train {

/// Work that is queued over and over: piece by piece the first time, so that libraries load what they need,
/// and as a captured graph from the second time on. It must be the same each time.
class RepeatedWork {
 public:
  /// Queues what `work` queues on the stream.
  template <class Work>
  void queue(device::Stream& stream, const Work& work) {
    if (!done_once_) {
      work();
      done_once_ = true;
      return;
    }
    if (!graph_) graph_ = stream.capture(work);
    graph_->launch(stream);
  }

 private:
  bool done_once_ = false;
  std::unique_ptr<device::Graph> graph_;
};

}  // namespace lockstep::train
