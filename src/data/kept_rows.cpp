#include "data/kept_rows.h"

namespace lockstep::data {

KeptRows::KeptRows(std::int64_t samples) : batch_(samples), full_steps_(1), full_{0, samples} {}

KeptRows::KeptRows(const Stripes& stripes, Range shards)
    : batch_(stripes.batch()), full_steps_(stripes.samples() / stripes.batch()) {
  if (full_steps_ > 0) full_ = stripes.rows(0, shards);
  if (full_steps_ < stripes.steps()) {
    const Range rows = stripes.rows(full_steps_, shards);
    tail_ = {rows.begin - full_steps_ * batch_, rows.end - full_steps_ * batch_};
  }
}

}  // namespace lockstep::data
