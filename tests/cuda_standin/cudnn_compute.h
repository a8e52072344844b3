#pragma once

#include "cudnn_algorithms.h"

namespace lockstep::standin {

/// What is written: result = alpha · sums + beta · result (not read where beta is 0).
struct Blend {
  float alpha;
  float beta;
};

/// y, from which cuDNN's fused form goes on: result = act(alpha1 · sums + alpha2 · z + bias[channel]).
struct Epilogue {
  const void* z;
  const void* bias;
  float alpha2;
  bool relu;
};

// Data in the convolution's type, inputs first. Tensors are N × C × H × W without gaps, filters K × C × R ×
// S.

void compute_forward(const Convolution& shape, const Algorithm& algorithm, const void* x, const void* w,
                     void* y, Blend blend);
void compute_fused(const Convolution& shape, const Algorithm& algorithm, const void* x, const void* w,
                   void* y, float alpha1, const Epilogue& epilogue);
void compute_data(const Convolution& shape, const Algorithm& algorithm, const void* w, const void* dy,
                  void* dx, Blend blend);
void compute_filter(const Convolution& shape, const Algorithm& algorithm, const void* x, const void* dy,
                    void* dw, Blend blend);

}  // namespace lockstep::standin
