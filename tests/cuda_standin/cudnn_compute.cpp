#include "cudnn_compute.h"

#include <cstddef>
#include <vector>

#include "numbers.h"

namespace lockstep::standin {
namespace {

using Values = std::vector<float>;

float load(const void* data, cudnnDataType_t type, std::size_t index) {
  if (type == CUDNN_DATA_BFLOAT16) return from_bfloat16(static_cast<const std::uint16_t*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

void store(void* data, cudnnDataType_t type, std::size_t index, float value) {
  if (type == CUDNN_DATA_BFLOAT16)
    static_cast<std::uint16_t*>(data)[index] = to_bfloat16(value);
  else
    static_cast<float*>(data)[index] = value;
}

/// Inputs of the products. Since the Ampere generation the default math type takes floats for TF32, too.
Values load_all(const Convolution& shape, const Algorithm& algorithm, const void* data, std::int64_t count) {
  const bool tf32 = algorithm.tensor_cores && shape.math != CUDNN_FMA_MATH;
  Values values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float value = load(data, shape.type, i);
    values[i] = tf32 ? round_to_tf32(value) : value;
  }
  return values;
}

void store_all(const Convolution& shape, void* data, const Values& sums, Blend blend) {
  for (std::size_t i = 0; i < sums.size(); ++i) {
    float value = blend.alpha * sums[i];
    if (blend.beta != 0) value += blend.beta * load(data, shape.type, i);
    store(data, shape.type, i, value);
  }
}

Values transposed(const Values& values, std::int64_t rows, std::int64_t columns) {
  Values result(values.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      result[static_cast<std::size_t>(j * rows + i)] = values[static_cast<std::size_t>(i * columns + j)];
  return result;
}

/// Calls visit(tap, position, cell) for each pair of a filter's tap and a place of the output under which
/// there is a cell of the image, rather than padding. Cells count within one image.
template <class Visit>
void for_each_cell(const Convolution& shape, Visit visit) {
  std::int64_t tap = 0;
  for (std::int64_t c = 0; c < shape.c; ++c)
    for (std::int64_t r = 0; r < shape.r; ++r)
      for (std::int64_t s = 0; s < shape.s; ++s, ++tap)
        for (std::int64_t p = 0; p < shape.p; ++p) {
          const auto row = p * shape.stride[0] + r * shape.dilation[0] - shape.padding[0];
          if (row < 0 || row >= shape.h) continue;
          for (std::int64_t q = 0; q < shape.q; ++q) {
            const auto column = q * shape.stride[1] + s * shape.dilation[1] - shape.padding[1];
            if (column < 0 || column >= shape.w) continue;
            visit(tap, p * shape.q + q, (c * shape.h + row) * shape.w + column);
          }
        }
}

std::span<const float> image(const Values& values, std::int64_t index, std::int64_t size) {
  return std::span(values).subspan(static_cast<std::size_t>(index * size), static_cast<std::size_t>(size));
}

Values forward_sums(const Convolution& shape, const Algorithm& algorithm, const void* x_data,
                    const void* w_data) {
  const auto images = load_all(shape, algorithm, x_data, shape.x_count());
  const auto filter = transposed(load_all(shape, algorithm, w_data, shape.w_count()), shape.k, shape.taps());
  const auto order = addition(Direction::forward, algorithm, shape.taps());
  Values sums(static_cast<std::size_t>(shape.y_count()));
  Values cells(
      static_cast<std::size_t>(shape.taps() * shape.positions()));  // tap × position; padding stays zero
  const auto out = shape.k * shape.positions();
  for (std::int64_t n = 0; n < shape.n; ++n) {
    const auto from = image(images, n, shape.c * shape.h * shape.w);
    for_each_cell(shape, [&](std::int64_t tap, std::int64_t position, std::int64_t cell) {
      cells[static_cast<std::size_t>(tap * shape.positions() + position)] =
          from[static_cast<std::size_t>(cell)];
    });
    product(shape.k, shape.positions(), shape.taps(), filter, cells,
            std::span(sums).subspan(static_cast<std::size_t>(n * out), static_cast<std::size_t>(out)), order);
  }
  return sums;
}

}  // namespace

void compute_forward(const Convolution& shape, const Algorithm& algorithm, const void* x, const void* w,
                     void* y, Blend blend) {
  store_all(shape, y, forward_sums(shape, algorithm, x, w), blend);
}

void compute_fused(const Convolution& shape, const Algorithm& algorithm, const void* x, const void* w,
                   void* y, float alpha1, const Epilogue& epilogue) {
  const auto sums = forward_sums(shape, algorithm, x, w);
  const auto positions = static_cast<std::size_t>(shape.positions());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto channel = i / positions % static_cast<std::size_t>(shape.k);
    float value = alpha1 * sums[i];
    if (epilogue.alpha2 != 0) value += epilogue.alpha2 * load(epilogue.z, shape.type, i);
    value += load(epilogue.bias, shape.type, channel);
    // NaN becomes 0: the documentation allows nothing but CUDNN_NOT_PROPAGATE_NAN here.
    if (epilogue.relu) value = value > 0 ? value : 0;
    store(y, shape.type, i, value);
  }
}

void compute_data(const Convolution& shape, const Algorithm& algorithm, const void* w, const void* dy,
                  void* dx, Blend blend) {
  const auto filter = load_all(shape, algorithm, w, shape.w_count());
  const auto gradients = load_all(shape, algorithm, dy, shape.y_count());
  const auto order = addition(Direction::data, algorithm, shape.k);
  Values sums(static_cast<std::size_t>(shape.x_count()));
  Values cells(static_cast<std::size_t>(shape.taps() * shape.positions()));
  const auto in = shape.c * shape.h * shape.w;
  for (std::int64_t n = 0; n < shape.n; ++n) {
    product(shape.taps(), shape.positions(), shape.k, filter,
            image(gradients, n, shape.k * shape.positions()), cells, order);
    const auto to = std::span(sums).subspan(static_cast<std::size_t>(n * in), static_cast<std::size_t>(in));
    for_each_cell(shape, [&](std::int64_t tap, std::int64_t position, std::int64_t cell) {
      to[static_cast<std::size_t>(cell)] +=
          cells[static_cast<std::size_t>(tap * shape.positions() + position)];
    });
  }
  store_all(shape, dx, sums, blend);
}

void compute_filter(const Convolution& shape, const Algorithm& algorithm, const void* x, const void* dy,
                    void* dw, Blend blend) {
  const auto images = load_all(shape, algorithm, x, shape.x_count());
  const auto gradients = load_all(shape, algorithm, dy, shape.y_count());
  const auto terms = shape.n * shape.positions();
  Values cells(static_cast<std::size_t>(terms * shape.taps()));  // (image, position) × tap
  Values factors(static_cast<std::size_t>(terms * shape.k));     // (image, position) × output channel
  for (std::int64_t n = 0; n < shape.n; ++n) {
    const auto first = n * shape.positions();
    const auto from = image(images, n, shape.c * shape.h * shape.w);
    for_each_cell(shape, [&](std::int64_t tap, std::int64_t position, std::int64_t cell) {
      cells[static_cast<std::size_t>((first + position) * shape.taps() + tap)] =
          from[static_cast<std::size_t>(cell)];
    });
    const auto gradient = image(gradients, n, shape.k * shape.positions());
    for (std::int64_t k = 0; k < shape.k; ++k)
      for (std::int64_t position = 0; position < shape.positions(); ++position)
        factors[static_cast<std::size_t>((first + position) * shape.k + k)] =
            gradient[static_cast<std::size_t>(k * shape.positions() + position)];
  }
  Values sums(static_cast<std::size_t>(shape.w_count()));
  product(shape.k, shape.taps(), terms, factors, cells, sums, addition(Direction::filter, algorithm, terms));
  store_all(shape, dw, sums, blend);
}

}  // namespace lockstep::standin
