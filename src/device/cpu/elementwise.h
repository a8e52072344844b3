#pragma once

#include <cstdint>

#include "device/backend.h"

/// Lockstep's own loops over independent elements. Each element is computed by the same IEEE operations
/// whatever the vector width, so every processor gives the same bits. Arrays are distinct or the same, never
/// partly overlapping, and need no alignment.
namespace lockstep::device::cpu {

/// y = max(x, 0); NaN stays NaN.
void relu_forward(const float* x, float* y, std::int64_t count);
void tanh_forward(const float* x, float* y, std::int64_t count);
void sigmoid_forward(const float* x, float* y, std::int64_t count);

/// Turns the gradient of y into that of x, given y, in place. The ReLU's is zero where y is.
void relu_backward(const float* y, float* gradient, std::int64_t count);
void tanh_backward(const float* y, float* gradient, std::int64_t count);
void sigmoid_backward(const float* y, float* gradient, std::int64_t count);

/// y = x / divisor where kept, else 0. In place if y is x.
void drop(const float* x, const std::uint8_t* kept, float divisor, float* y, std::int64_t count);

/// sums[c] is the sum of column c, from the first row to the last.
void sum_rows(const float* x, std::int64_t rows, std::int64_t columns, float* sums);

/// See Backend. `velocity` is not touched without momentum.
bool sgd(const SgdArguments& arguments, float* weights, const float* gradient, float* velocity,
         std::int64_t count);
bool adamw(const AdamWArguments& arguments, float* weights, const float* gradient, float* moment1,
           float* moment2, std::int64_t count);

}  // namespace lockstep::device::cpu
