#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/partition.h"
#include "config/experiment.h"
#include "tensor/parameters.h"
#include "tensor/shape.h"

/// A model as a device sees it: a chain of operations with every extent resolved. nn/graph makes it from an
/// experiment; a Backend plans it. Extents are per sample; activations are C, H, W; weights are OIHW or out ×
/// in.
namespace lockstep::device {

/// y[o] = bias[o] + Σ x · w (cross-correlation, as in every framework).
struct Conv2dOp {
  std::int64_t in_channels = 0, in_height = 0, in_width = 0;
  std::int64_t out_channels = 0, out_height = 0, out_width = 0;
  std::int64_t kernel_height = 0, kernel_width = 0;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  int weight = -1;  ///< index into Network::parameters, OIHW
  int bias = -1;    ///< likewise, or -1 for none
};

/// Padded cells never win a maximum and do not count in a mean. The first of equal cells wins, in row-major
/// order.
struct Pool2dOp {
  enum class Kind : std::uint8_t { max, average } kind = Kind::max;
  std::int64_t channels = 0, in_height = 0, in_width = 0, out_height = 0, out_width = 0;
  std::int64_t size_height = 0, size_width = 0, stride_height = 0, stride_width = 0;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
};

/// y = w x + bias, w: out × in.
struct DenseOp {
  std::int64_t in = 0, out = 0;
  int weight = -1;
  int bias = -1;  ///< -1 for none
};

struct ActivationOp {
  enum class Kind : std::uint8_t { relu, tanh, sigmoid } kind = Kind::relu;
  std::int64_t count = 0;
};

/// C, H, W to one axis, in that order.
struct FlattenOp {
  std::int64_t count = 0;
};

/// Inverted dropout: in training an element is 0 when its random word says so, else x / float(1 - rate); in
/// evaluation x. Element e of a sample uses word e % 4 of RandomKey(seed, Purpose::dropout,
/// stream).words(epoch, row, e / 4); it is dropped when unit_float(word) < rate.
struct DropoutOp {
  std::int64_t count = 0;
  double rate = 0;
  std::uint32_t stream = 0;
};

using Op = std::variant<Conv2dOp, Pool2dOp, DenseOp, ActivationOp, FlattenOp, DropoutOp>;

struct Node {
  std::string name;  ///< the layer's
  Op op;
  Shape in, out;  ///< per sample
};

struct Network {
  Shape input;
  std::vector<Node> nodes;
  Parameters parameters;
  config::Loss loss = config::Loss::softmax_cross_entropy;
  std::int64_t classes = 0;  ///< outputs of the last node
  std::uint64_t seed = 0;    ///< for dropout
};

/// Multiply-adds of one sample, forward, weight gradients and data gradients (0 for the first layer's) apart.
struct MultiplyAdds {
  std::int64_t forward = 0, weight_gradient = 0, data_gradient = 0;
};
MultiplyAdds multiply_adds(const Op& op, bool is_first);

// What every backend must know of a chain.

[[nodiscard]] bool is_relu(const Op& op);
[[nodiscard]] bool is_max_pool(const Op& op);
[[nodiscard]] bool has_parameters(const Op& op);
/// An invariant: each node takes what the one before gives, and the last gives one output for each class.
void check_chain(const Network& network);
/// Error(bad_config), which names the layer, where a pooling window may lie in the padding altogether: it
/// would have no maximum and no mean.
void require_cells(const Pool2dOp& op, const Node& node);
/// The ranges of a gradient slab that none of the parameters in `written` cover. No parameter comes twice.
[[nodiscard]] std::vector<Range> gaps_between(const Parameters& parameters, const std::vector<int>& written);

}  // namespace lockstep::device
