#include "device/cuda/kernels/gather.h"

#include "base/check.h"
#include "device/cuda/launch.h"

namespace lockstep::device::cuda {
namespace {

/// A sample is gathered by as many blocks as it has pieces of this many elements.
constexpr std::int64_t piece_elements = 4096;
constexpr int threads = 256;

/// Neighbouring threads read and write neighbouring elements. The conversion is the processor's: to the
/// nearest float, then one multiplication.
template <class T>
struct Gather {
  const T* stored_images;
  const std::int32_t* stored_labels;
  const std::int64_t* positions;
  std::int64_t image_size;
  std::int64_t pieces;  ///< of one sample; at least 1, so that labels of empty images are gathered
  float scale;
  float* images;
  std::int32_t* labels;

  __device__ void operator()(const Block& block) const {
    const std::int64_t sample = block.index() / pieces;
    const std::int64_t first = block.index() % pieces * piece_elements;
    const std::int64_t end = first + piece_elements < image_size ? first + piece_elements : image_size;
    const T* const from = stored_images + positions[sample] * image_size;
    float* const to = images + sample * image_size;
    block.for_each_thread([&](int thread) {
      for (std::int64_t i = first + thread; i < end; i += block.threads())
        to[i] = static_cast<float>(from[i]) * scale;
      if (first == 0 && thread == 0) labels[sample] = stored_labels[positions[sample]];
    });
  }
};

}  // namespace

void gather(cudaStream_t stream, const StoredSamples& stored, DeviceSpan<const std::int64_t> positions,
            float scale, DeviceSpan<float> images, DeviceSpan<std::int32_t> labels) {
  const std::int64_t size = stored.image.count();
  check(images.count == positions.count * size && labels.count == positions.count,
        "gathered samples have room for each position");
  check(stored.images.count == stored.labels.count * size * static_cast<std::int64_t>(size_of(stored.type)),
        "stored samples have one label each");
  const std::int64_t pieces = size == 0 ? 1 : (size - 1) / piece_elements + 1;
  with_type(stored.type, [&]<class T>(T) {
    launch_blocks(stream, positions.count * pieces, threads, 0,
                  Gather<T>{reinterpret_cast<const T*>(stored.images.data), stored.labels.data,
                            positions.data, size, pieces, scale, images.data, labels.data});
  });
}

}  // namespace lockstep::device::cuda
