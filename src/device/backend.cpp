#include "device/backend.h"

namespace lockstep::device {

Totals& Totals::operator+=(const Totals& other) {
  loss += other.loss;
  correct += other.correct;
  samples += other.samples;
  return *this;
}

void Plan::load_weights(std::span<const float> weights) {
  const Packing all = packing();
  if (own_packed_.size() != static_cast<std::size_t>(all.floats))
    own_packed_ = AlignedBuffer<float>(static_cast<std::size_t>(all.floats));
  for (std::int64_t piece = 0; piece < all.pieces; ++piece) pack(weights, piece, own_packed_.data());
  for (std::int64_t piece = 0; piece < load_pieces(); ++piece) load_piece(weights, piece, own_packed_.data());
}

}  // namespace lockstep::device
