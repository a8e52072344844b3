#include "device/cpu/slab.h"

namespace lockstep::device::cpu {

Desc plain(const Parameter& parameter) {
  return plain(parameter.shape.extents());
}

SlabWeights::SlabWeights(const dnnl::engine& engine, const Parameter& parameter, const Desc& wanted)
    : offset_(parameter.offset), plain_(plain(parameter), engine, nullptr) {
  const Reorder pack(engine, plain(parameter), wanted);
  if (!pack.needed()) return;
  storage_ = AlignedBuffer<std::byte>(wanted.get_size());
  packed_ = dnnl::memory(wanted, engine, storage_.data());
  dnnl::memory scratch;
  if (pack.scratch().get_size() > 0) {
    scratch_ = AlignedBuffer<std::byte>(pack.scratch().get_size());
    scratch = dnnl::memory(pack.scratch(), engine, scratch_.data());
  }
  pack_ = pack.bind(dnnl::stream(engine), plain_, packed_, scratch);
}

void SlabWeights::load(std::span<const float> slab) {
  if (!plain_) return;
  set_source(plain_, slab.data() + offset_);
  if (pack_) pack_.run();
}

SlabGradient::SlabGradient(const dnnl::engine& engine, const Parameter& parameter)
    : offset_(parameter.offset), memory_(plain(parameter), engine, nullptr) {}

void SlabGradient::point_into(float* slab) {
  if (memory_) memory_.set_data_handle(slab + offset_);
}

}  // namespace lockstep::device::cpu
