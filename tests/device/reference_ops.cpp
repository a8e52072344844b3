#include "device/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/philox.h"

namespace lockstep::reference {
namespace {

using device::ActivationOp;
using device::Conv2dOp;
using device::DenseOp;
using device::DropoutOp;
using device::FlattenOp;
using device::Pool2dOp;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// Visits every multiplication of a convolution: indices into x, weight and y.
template <class F>
void each_product(const Conv2dOp& op, std::int64_t samples, F&& f) {
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t o = 0; o < op.out_channels; ++o)
      for (std::int64_t row = 0; row < op.out_height; ++row)
        for (std::int64_t column = 0; column < op.out_width; ++column)
          for (std::int64_t i = 0; i < op.in_channels; ++i)
            for (std::int64_t kr = 0; kr < op.kernel_height; ++kr)
              for (std::int64_t kc = 0; kc < op.kernel_width; ++kc) {
                const std::int64_t r = row * op.stride_height - op.pad_top + kr;
                const std::int64_t c = column * op.stride_width - op.pad_left + kc;
                if (r < 0 || r >= op.in_height || c < 0 || c >= op.in_width) continue;
                f(at(((n * op.in_channels + i) * op.in_height + r) * op.in_width + c),
                  at(((o * op.in_channels + i) * op.kernel_height + kr) * op.kernel_width + kc),
                  at(((n * op.out_channels + o) * op.out_height + row) * op.out_width + column));
              }
}

/// Visits every window: the index of its output and those of its cells, in row-major order, padding left out.
template <class F>
void each_window(const Pool2dOp& op, std::int64_t samples, F&& f) {
  std::vector<std::size_t> cells;
  for (std::int64_t plane = 0; plane < samples * op.channels; ++plane)
    for (std::int64_t row = 0; row < op.out_height; ++row)
      for (std::int64_t column = 0; column < op.out_width; ++column) {
        cells.clear();
        for (std::int64_t kr = 0; kr < op.size_height; ++kr)
          for (std::int64_t kc = 0; kc < op.size_width; ++kc) {
            const std::int64_t r = row * op.stride_height - op.pad_top + kr;
            const std::int64_t c = column * op.stride_width - op.pad_left + kc;
            if (r < 0 || r >= op.in_height || c < 0 || c >= op.in_width) continue;
            cells.push_back(at((plane * op.in_height + r) * op.in_width + c));
          }
        f(at((plane * op.out_height + row) * op.out_width + column), cells);
      }
}

std::size_t first_greatest(const Values& x, const std::vector<std::size_t>& cells) {
  std::size_t best = cells.front();
  for (const std::size_t cell : cells)
    if (x[cell] > x[best]) best = cell;
  return best;
}

/// What each element is multiplied by.
Values dropout_factors(const DropoutOp& op, const Context& context) {
  Values factors(at(context.samples * op.count), 1);
  if (!context.training) return factors;
  const RandomKey key(context.seed, Purpose::dropout, op.stream);
  for (std::int64_t n = 0; n < context.samples; ++n)
    for (std::int64_t e = 0; e < op.count; ++e) {
      const auto words =
          key.words(static_cast<std::uint32_t>(context.epoch),
                    static_cast<std::uint64_t>(context.rows[at(n)]), static_cast<std::uint32_t>(e / 4));
      const bool dropped = unit_float(words[at(e % 4)]) < op.rate;
      factors[at(n * op.count + e)] = dropped ? 0 : 1 / (1 - op.rate);
    }
  return factors;
}

struct Forward {
  const Context& context;
  const Values& x;

  Values operator()(const Conv2dOp& op) const {
    const std::int64_t plane = op.out_height * op.out_width;
    Values y(at(context.samples * op.out_channels * plane));
    if (!context.bias.empty())
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = context.bias[i / at(plane) % at(op.out_channels)];
    each_product(op, context.samples, [&](std::size_t from, std::size_t weight, std::size_t to) {
      y[to] += x[from] * context.weight[weight];
    });
    return y;
  }
  Values operator()(const Pool2dOp& op) const {
    Values y(at(context.samples * op.channels * op.out_height * op.out_width));
    each_window(op, context.samples, [&](std::size_t to, const std::vector<std::size_t>& cells) {
      if (op.kind == Pool2dOp::Kind::max) {
        y[to] = x[first_greatest(x, cells)];
      } else {
        for (const std::size_t cell : cells) y[to] += x[cell] / static_cast<double>(cells.size());
      }
    });
    return y;
  }
  Values operator()(const DenseOp& op) const {
    Values y(at(context.samples * op.out));
    for (std::int64_t n = 0; n < context.samples; ++n)
      for (std::int64_t o = 0; o < op.out; ++o) {
        double sum = context.bias.empty() ? 0 : context.bias[at(o)];
        for (std::int64_t i = 0; i < op.in; ++i)
          sum += x[at(n * op.in + i)] * context.weight[at(o * op.in + i)];
        y[at(n * op.out + o)] = sum;
      }
    return y;
  }
  Values operator()(const ActivationOp& op) const {
    Values y(x.size());
    std::transform(x.begin(), x.end(), y.begin(), [&](double value) {
      if (op.kind == ActivationOp::Kind::relu) return std::max(value, 0.0);
      if (op.kind == ActivationOp::Kind::tanh) return std::tanh(value);
      return 1 / (1 + std::exp(-value));
    });
    return y;
  }
  Values operator()(const FlattenOp& /*op*/) const { return x; }
  Values operator()(const DropoutOp& op) const {
    Values y = dropout_factors(op, context);
    std::transform(y.begin(), y.end(), x.begin(), y.begin(), std::multiplies<>());
    return y;
  }
};

struct Backward {
  const Context& context;
  const Values &x, &y, &dy;

  Gradients operator()(const Conv2dOp& op) const {
    Gradients g{Values(x.size()), Values(context.weight.size()), Values(context.bias.size())};
    each_product(op, context.samples, [&](std::size_t from, std::size_t weight, std::size_t to) {
      g.x[from] += dy[to] * context.weight[weight];
      g.weight[weight] += dy[to] * x[from];
    });
    if (!g.bias.empty())
      for (std::size_t i = 0; i < dy.size(); ++i)
        g.bias[i / at(op.out_height * op.out_width) % at(op.out_channels)] += dy[i];
    return g;
  }
  Gradients operator()(const Pool2dOp& op) const {
    Gradients g{Values(x.size()), {}, {}};
    each_window(op, context.samples, [&](std::size_t to, const std::vector<std::size_t>& cells) {
      if (op.kind == Pool2dOp::Kind::max) {
        g.x[first_greatest(x, cells)] += dy[to];
      } else {
        for (const std::size_t cell : cells) g.x[cell] += dy[to] / static_cast<double>(cells.size());
      }
    });
    return g;
  }
  Gradients operator()(const DenseOp& op) const {
    Gradients g{Values(x.size()), Values(context.weight.size()), Values(context.bias.size())};
    for (std::int64_t n = 0; n < context.samples; ++n)
      for (std::int64_t o = 0; o < op.out; ++o) {
        const double d = dy[at(n * op.out + o)];
        if (!g.bias.empty()) g.bias[at(o)] += d;
        for (std::int64_t i = 0; i < op.in; ++i) {
          g.x[at(n * op.in + i)] += d * context.weight[at(o * op.in + i)];
          g.weight[at(o * op.in + i)] += d * x[at(n * op.in + i)];
        }
      }
    return g;
  }
  Gradients operator()(const ActivationOp& op) const {
    Gradients g{dy, {}, {}};
    for (std::size_t i = 0; i < dy.size(); ++i) {
      if (op.kind == ActivationOp::Kind::relu)
        g.x[i] *= y[i] > 0 ? 1 : 0;
      else if (op.kind == ActivationOp::Kind::tanh)
        g.x[i] *= 1 - y[i] * y[i];
      else
        g.x[i] *= y[i] * (1 - y[i]);
    }
    return g;
  }
  Gradients operator()(const FlattenOp& /*op*/) const { return {dy, {}, {}}; }
  Gradients operator()(const DropoutOp& op) const {
    Gradients g{dropout_factors(op, context), {}, {}};
    std::transform(g.x.begin(), g.x.end(), dy.begin(), g.x.begin(), std::multiplies<>());
    return g;
  }
};

/// Indices of an op's parameters, -1 where it has none.
std::pair<int, int> parameters_of(const device::Op& op) {
  if (const auto* convolution = std::get_if<Conv2dOp>(&op)) return {convolution->weight, convolution->bias};
  if (const auto* dense = std::get_if<DenseOp>(&op)) return {dense->weight, dense->bias};
  return {-1, -1};
}

Values tensor_of(const device::Network& network, std::span<const double> slab, int index) {
  if (index < 0) return {};
  const Parameter& parameter = network.parameters[index];
  const auto view = slab.subspan(at(parameter.offset), at(parameter.count));
  return {view.begin(), view.end()};
}

}  // namespace

Values forward(const device::Op& op, const Context& context, const Values& x) {
  return std::visit(Forward{context, x}, op);
}

Gradients backward(const device::Op& op, const Context& context, const Values& x, const Values& y,
                   const Values& dy) {
  return std::visit(Backward{context, x, y, dy}, op);
}

LossResult loss_of(config::Loss loss, const Values& outputs, std::span<const std::int32_t> labels) {
  LossResult result{0, 0, Values(outputs.size())};
  const std::size_t width = outputs.size() / labels.size();
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const double* x = outputs.data() + n * width;
    const auto label = static_cast<std::size_t>(labels[n]);
    result.correct += std::max_element(x, x + width) - x == labels[n] ? 1 : 0;
    const double greatest = *std::max_element(x, x + width);
    double sum = 0;
    for (std::size_t i = 0; i < width; ++i) sum += std::exp(x[i] - greatest);
    for (std::size_t i = 0; i < width; ++i) {
      const double target = i == label ? 1 : 0;
      if (loss == config::Loss::softmax_cross_entropy) {
        result.gradient[n * width + i] = std::exp(x[i] - greatest) / sum - target;
      } else {
        result.gradient[n * width + i] = 2 * (x[i] - target) / static_cast<double>(width);
        result.loss += (x[i] - target) * (x[i] - target) / static_cast<double>(width);
      }
    }
    if (loss == config::Loss::softmax_cross_entropy) result.loss += std::log(sum) + greatest - x[label];
  }
  return result;
}

NetworkResult run(const device::Network& network, std::span<const double> slab,
                  const device::ShardInput& input, std::int64_t samples, bool training) {
  std::vector<Values> activations = {Values(input.images, input.images + samples * network.input.count())};
  std::vector<Context> contexts;
  for (const device::Node& node : network.nodes) {
    const auto [weight, bias] = parameters_of(node.op);
    Context context{samples,
                    tensor_of(network, slab, weight),
                    tensor_of(network, slab, bias),
                    training,
                    network.seed,
                    input.epoch,
                    {}};
    if (input.rows != nullptr) context.rows.assign(input.rows, input.rows + samples);
    activations.push_back(forward(node.op, context, activations.back()));
    contexts.push_back(std::move(context));
  }
  const LossResult loss =
      loss_of(network.loss, activations.back(), {input.labels, static_cast<std::size_t>(samples)});
  NetworkResult result{loss.loss, loss.correct, activations.back(), Values(slab.size())};
  Values diff = loss.gradient;
  for (std::size_t index = network.nodes.size(); index-- > 0;) {
    const device::Op& op = network.nodes[index].op;
    Gradients gradients = backward(op, contexts[index], activations[index], activations[index + 1], diff);
    const auto [weight, bias] = parameters_of(op);
    if (weight >= 0)
      std::copy(gradients.weight.begin(), gradients.weight.end(),
                result.gradient.begin() + network.parameters[weight].offset);
    if (bias >= 0)
      std::copy(gradients.bias.begin(), gradients.bias.end(),
                result.gradient.begin() + network.parameters[bias].offset);
    diff = std::move(gradients.x);
  }
  return result;
}

}  // namespace lockstep::reference
