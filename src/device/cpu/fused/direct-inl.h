// The block for few input channels, by the definition of a convolution: a Winograd transform would cost more
// than it saves there, having too few products per transformed number.
//
// Forward: direct_forward-inl.h. Weight gradient: a row of taps lies in registers, and each output of a row
// of windows is one load of its gradients and one broadcast input per tap; behind a pool, winners-inl.h does
// better.
#if defined(LOCKSTEP_FUSED_DIRECT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_DIRECT_INL_H_
#undef LOCKSTEP_FUSED_DIRECT_INL_H_
#else
#define LOCKSTEP_FUSED_DIRECT_INL_H_
#endif

#include <algorithm>

#include "device/cpu/fused/direct_forward-inl.h"
#include "device/cpu/fused/direct_planes-inl.h"
#include "device/cpu/fused/filters-inl.h"
#include "device/cpu/fused/product-inl.h"
#include "device/cpu/fused/rows-inl.h"
#include "device/cpu/fused/winners-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kKernel>
struct Direct {
  static constexpr int taps = kKernel * kKernel;

  /// Of all filters. Packed, they have a flag behind them: 1 if they are finite, else 0.
  static std::int64_t filter_floats(const Problem& problem, const Layout& layout) {
    return std::int64_t{taps} * problem.in_channels * layout.out_stride;
  }

  static Layout layout(const Problem& problem, bool /*data_gradient*/) {
    Layout layout;
    layout.in_stride = problem.in_channels;
    layout.out_stride = round_up(problem.out_channels, half_lanes);
    layout.packed = filter_floats(problem, layout) + 1;
    constexpr std::int64_t strip_floats = 2048;  // so that gradients, choices and quads stay in L1
    layout.strip_rows = strip_floats / (problem.window_columns() * layout.out_stride);
    layout.strip_rows = std::max<std::int64_t>(std::min(layout.strip_rows, problem.window_rows()), 1);
    layout.forward_workspace = DirectForward<kKernel>::workspace_floats(problem);
    layout.backward_workspace =
        std::max(layout.forward_workspace, scratch_floats<Workspace>(problem, layout));
    layout.record = problem.all_window_rows() * problem.window_columns() * layout.out_stride;
    return layout;
  }

  /// Of the backward pass.
  struct Workspace {
    DirectPlanes planes;
    float *staging, *sums;
    float* gradients;  ///< of a row of windows' two rows of outputs; behind a pool, of a strip's winners
    float* quads;      ///< of a strip, behind a pool, as all below
    std::int32_t *choices, *places;
    Workspace(const Problem& problem, const Layout& layout, Scratch& scratch)
        : planes(problem, scratch),
          staging(scratch.take<float>(staging_of(problem))),
          sums(scratch.take<float>(filter_floats(problem, layout))) {
      const std::int64_t cells = (problem.pool ? layout.strip_rows : 4) * problem.window_columns();
      gradients = scratch.take<float>(cells * layout.out_stride);
      const std::int64_t windows = problem.pool ? cells : 0;
      quads =
          scratch.take<float>(problem.pool ? Winners<kKernel>::quads_floats(planes, layout.strip_rows) : 0);
      choices = scratch.take<std::int32_t>(windows * layout.out_stride);
      places = scratch.take<std::int32_t>(windows);
    }
  };

  /// Weights as [in][tap][out].
  static void pack(const Problem& problem, const Layout& layout, std::int64_t /*piece*/, const float* weights,
                   float* packed) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        Vector<decltype(d)> g[taps];
        load_filters<taps>(d, weights + (c * problem.in_channels + in) * taps, problem.in_channels * taps,
                           count, g);
        for (int t = 0; t < taps; ++t) hn::StoreU(g[t], d, packed + (in * taps + t) * layout.out_stride + c);
      });
    }
    packed[filter_floats(problem, layout)] =
        all_finite(weights, problem.in_channels * problem.out_channels * taps) ? 1 : 0;
  }

  static void unpack(const Problem& problem, const Layout& layout, const float* packed, float* dweight) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        Vector<decltype(d)> g[taps];
        for (int t = 0; t < taps; ++t) g[t] = hn::LoadU(d, packed + (in * taps + t) * layout.out_stride + c);
        store_filters<taps>(d, g, problem.in_channels * taps, count,
                            dweight + (c * problem.in_channels + in) * taps);
      });
    }
  }

  static void forward(const Problem& problem, const Layout& layout, const Forward& pass) {
    const bool finite = pass.packed[filter_floats(problem, layout)] != 0;
    DirectForward<kKernel>::run(problem, layout.out_stride, finite, pass);
  }

  /// The gradients of a row of windows as two rows of outputs, each [column][channel]; adds to the bias's.
  static void spread_gradients(const Problem& problem, const Layout& layout,
                               const WindowRow<const float, const std::uint8_t>& row, float* gradients,
                               float* dbias) {
    const std::int64_t lower = 2 * problem.window_columns() * layout.out_stride;
    for (std::int64_t window = 0; window < problem.window_columns(); ++window) {
      float* cell = gradients + 2 * window * layout.out_stride;
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        Vector<decltype(d)> z[4];
        start_window(d, problem, row, window, c, count, layout.out_stride, z);
        hn::StoreU(z[0], d, cell + c);
        hn::StoreU(z[1], d, cell + layout.out_stride + c);
        hn::StoreU(z[2], d, cell + lower + c);
        hn::StoreU(z[3], d, cell + lower + layout.out_stride + c);
        if (dbias == nullptr) return;
        const auto sum = hn::Add(hn::Add(z[0], z[1]), hn::Add(z[2], z[3]));
        store(d, hn::Add(load(d, dbias + c, count), sum), dbias + c, count);
      });
    }
  }

  /// Adds a row of windows to the gradients of one row of taps, for a block of output channels.
  template <int kVectors, bool kHalf>
  static void add_taps(std::int64_t columns, std::int64_t stride, const float* x, std::int64_t width,
                       const float* gradients, float* dweight) {
    Accumulators<kKernel, kVectors, kHalf> block;
    block.load(dweight, stride);
    for (int r = 0; r < 2; ++r, x += width) {
      const float* a = x;
      for (std::int64_t k = 0; k < columns; ++k, ++a, gradients += stride)
        block.add([&](int tap) { return a[tap]; }, gradients);
    }
    block.store(dweight, stride);
  }

  static void backward_dense(const Problem& problem, const Layout& layout, const Backward& pass) {
    Scratch scratch(pass.workspace);
    const Workspace workspace(problem, layout, scratch);
    const DirectPlanes& planes = workspace.planes;
    const std::int64_t sample = problem.in_channels * problem.in_height * problem.in_width;
    const std::int64_t columns = 2 * problem.window_columns();
    const std::int64_t stride = layout.out_stride;
    clear(workspace.sums, filter_floats(problem, layout));
    if (pass.dbias != nullptr) clear(pass.dbias, problem.out_channels);
    for (std::int64_t index = 0; index < problem.all_window_rows(); ++index) {
      const RowPlace place(problem, index);
      if (place.window_row == 0) planes.copy_in(problem, pass.x + place.sample * sample);
      const auto row = source(problem, index, stride, pass, workspace.staging);
      spread_gradients(problem, layout, row, workspace.gradients, pass.dbias);
      for (std::int64_t in = 0; in < problem.in_channels; ++in) {
        for (int i = 0; i < kKernel; ++i) {
          const float* x = planes.data + (in * planes.height + 2 * place.window_row + i) * planes.width;
          for_each_panel(stride, [&](std::int64_t channel, int vectors, bool half) {
            const float* g = workspace.gradients + channel;
            float* dw = workspace.sums + (in * kKernel + i) * kKernel * stride + channel;
            if (half) {
              if (vectors == 1) add_taps<0, true>(columns, stride, x, planes.width, g, dw);
              if (vectors == 2) add_taps<1, true>(columns, stride, x, planes.width, g, dw);
              if (vectors == 3) add_taps<2, true>(columns, stride, x, planes.width, g, dw);
            } else {
              if (vectors == 1) add_taps<1, false>(columns, stride, x, planes.width, g, dw);
              if (vectors == 2) add_taps<2, false>(columns, stride, x, planes.width, g, dw);
              if (vectors == 3) add_taps<3, false>(columns, stride, x, planes.width, g, dw);
            }
          });
        }
      }
    }
    unpack(problem, layout, workspace.sums, pass.dweight);
  }

  /// Strip by strip of one sample's window rows.
  static void backward_winners(const Problem& problem, const Layout& layout, const Backward& pass) {
    Scratch scratch(pass.workspace);
    const Workspace workspace(problem, layout, scratch);
    const DirectPlanes& planes = workspace.planes;
    const typename Winners<kKernel>::Quads quads{workspace.quads, Winners<kKernel>::quads_of_a_row(planes)};
    const std::int64_t floats = problem.in_channels * problem.in_height * problem.in_width;
    clear(workspace.sums, filter_floats(problem, layout));
    if (pass.dbias != nullptr) clear(pass.dbias, problem.out_channels);
    for (std::int64_t sample = 0; sample < problem.samples; ++sample) {
      planes.copy_in(problem, pass.x + sample * floats);
      if (!all_finite(planes.data, planes.floats()))
        Winners<kKernel>::add_zeros(problem, planes, layout.out_stride, workspace.sums);
      for (std::int64_t begin = 0; begin < problem.window_rows(); begin += layout.strip_rows) {
        const std::int64_t left = problem.window_rows() - begin;
        const std::int64_t rows = left < layout.strip_rows ? left : layout.strip_rows;
        typename Winners<kKernel>::Found found{.stride = layout.out_stride,
                                               .gradients = workspace.gradients,
                                               .choices = workspace.choices,
                                               .places = workspace.places};
        for (std::int64_t row = 0; row < rows; ++row) {
          const std::int64_t index = sample * problem.window_rows() + begin + row;
          Winners<kKernel>::find(problem, planes, begin + row, row,
                                 source(problem, index, layout.out_stride, pass, workspace.staging),
                                 pass.dbias, found);
        }
        for (std::int64_t in = 0; in < problem.in_channels; ++in) {
          Winners<kKernel>::make_quads(planes, in, begin, rows, quads);
          Winners<kKernel>::add(found, quads, workspace.sums + in * kKernel * kKernel * layout.out_stride);
        }
      }
    }
    unpack(problem, layout, workspace.sums, pass.dweight);
  }

  static void backward(const Problem& problem, const Layout& layout, const Backward& pass) {
    if (problem.pool)
      backward_winners(problem, layout, pass);
    else
      backward_dense(problem, layout, pass);
  }

  static constexpr Method method() { return {layout, pack, forward, backward}; }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
