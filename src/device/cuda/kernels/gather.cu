#include "device/cuda/kernels/gather.h"

#include "base/check.h"
#include "device/cuda/launch.h"

namespace lockstep::device::cuda {
namespace {

/// A sample is gathered by as many blocks as it has pieces of this many elements.
constexpr std::int64_t piece_elements = 4096;
constexpr int threads = 256;

/// An image as it is. The conversion is the processor's: to the nearest float, then one multiplication.
template <class T>
struct Plain {
  __device__ float operator()(const T* image, std::int64_t /*sample*/, std::int64_t element,
                              float scale) const {
    return static_cast<float>(image[element]) * scale;
  }
};

/// What its map makes of it: data::Distorter, which gets the same bits.
template <class T>
struct Distorted {
  const AffineMap* maps;
  std::int64_t height, width;

  __device__ float operator()(const T* image, std::int64_t sample, std::int64_t element, float scale) const {
    const AffineMap& map = maps[sample];
    const std::int64_t channel = element / (height * width);
    const std::int64_t y = element / width % height;
    const std::int64_t x = element % width;
    const AffineTap row = affine_tap(map.row + y * map.row_per_row + x * map.row_per_column, height);
    const AffineTap column =
        affine_tap(map.column + y * map.column_per_row + x * map.column_per_column, width);
    const auto pixel = [&](std::int64_t down, std::int64_t right) {
      const bool inside = 0 <= down && down < height && 0 <= right && right < width;
      return inside ? static_cast<float>(image[(channel * height + down) * width + right]) : 0.0F;
    };
    if (map.moves_whole_pixels()) return pixel(row.at, column.at) * scale;
    return affine_blend(row, column, pixel(row.at, column.at), pixel(row.at, column.at + 1),
                        pixel(row.at + 1, column.at), pixel(row.at + 1, column.at + 1)) *
           (scale / affine_blend_scale);
  }
};

/// Neighbouring threads read and write neighbouring elements.
template <class T, class Element>
struct Gather {
  const T* stored_images;
  const std::int32_t* stored_labels;
  const std::int64_t* positions;
  std::int64_t image_size;
  std::int64_t pieces;  ///< of one sample; at least 1, so that labels of empty images are gathered
  float scale;
  float* images;
  std::int32_t* labels;
  Element element;

  __device__ void operator()(const Block& block) const {
    const std::int64_t sample = block.index() / pieces;
    const std::int64_t first = block.index() % pieces * piece_elements;
    const std::int64_t end = first + piece_elements < image_size ? first + piece_elements : image_size;
    const T* const from = stored_images + positions[sample] * image_size;
    float* const to = images + sample * image_size;
    block.for_each_thread([&](int thread) {
      for (std::int64_t i = first + thread; i < end; i += block.threads())
        to[i] = element(from, sample, i, scale);
      if (first == 0 && thread == 0) labels[sample] = stored_labels[positions[sample]];
    });
  }
};

}  // namespace

void gather(cudaStream_t stream, const StoredSamples& stored, DeviceSpan<const std::int64_t> positions,
            DeviceSpan<const AffineMap> maps, float scale, DeviceSpan<float> images,
            DeviceSpan<std::int32_t> labels) {
  const std::int64_t size = stored.image.count();
  check(images.count == positions.count * size && labels.count == positions.count,
        "gathered samples have room for each position");
  check(stored.images.count == stored.labels.count * size * static_cast<std::int64_t>(size_of(stored.type)),
        "stored samples have one label each");
  check(maps.count == 0 || (maps.count == positions.count && stored.image.rank() == 3),
        "images of height and width have a map each, or none has");
  const std::int64_t pieces = size == 0 ? 1 : (size - 1) / piece_elements + 1;
  with_type(stored.type, [&]<class T>(T) {
    const auto launch = [&]<class Element>(const Element& element) {
      launch_blocks(
          stream, positions.count * pieces, threads, 0,
          Gather<T, Element>{reinterpret_cast<const T*>(stored.images.data), stored.labels.data,
                             positions.data, size, pieces, scale, images.data, labels.data, element});
    };
    if (maps.count == 0)
      launch(Plain<T>{});
    else
      launch(Distorted<T>{maps.data, stored.image[1], stored.image[2]});
  });
}

}  // namespace lockstep::device::cuda
