#include "device/backend.h"

namespace lockstep::device {

Totals& Totals::operator+=(const Totals& other) {
  loss += other.loss;
  correct += other.correct;
  samples += other.samples;
  return *this;
}

}  // namespace lockstep::device
