#pragma once

#include "metrics/record.h"

namespace lockstep::metrics {

/// Where rank 0 reports to. Called from the main thread. Methods that a sink has no use for do nothing.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void begin(const RunHeader& /*header*/) {}
  virtual void step(const StepRecord& /*record*/) {}
  virtual void digest(const DigestRecord& /*record*/) {}
  virtual void epoch(const EpochRecord& /*record*/) {}
  /// What was gathered goes to the operating system: a checkpoint is about to count on it.
  virtual void flush() {}
  /// Before end(), where it was asked for.
  virtual void profile(const ProfileRecord& /*record*/) {}
  virtual void end(const RunSummary& /*summary*/) {}
};

}  // namespace lockstep::metrics
