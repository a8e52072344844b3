#include "device/backend.h"

namespace lockstep::device {

Totals& Totals::operator+=(const Totals& other) {
  loss += other.loss;
  correct += other.correct;
  samples += other.samples;
  return *this;
}

void Plan::load_weights(std::span<const float> weights) {
  const auto floats = static_cast<std::size_t>(packing().floats);
  if (own_packed_.size() != floats) own_packed_ = AlignedBuffer<float>(floats);
  load_weights(weights, own_packed_.data());
}

void Plan::load_weights(std::span<const float> weights, float* packed) {
  const std::int64_t to_pack = packing().pieces;
  for (std::int64_t piece = 0; piece < to_pack; ++piece) pack(weights, piece, packed);
  for (std::int64_t piece = 0; piece < load_pieces(); ++piece) load_piece(weights, piece, packed);
}

}  // namespace lockstep::device
