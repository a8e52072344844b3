#pragma once

#include "config/describe.h"

namespace lockstep::config {

template <>
struct VariantNoun<Init> {
  static constexpr std::string_view text = "initialiser";
};
template <>
struct VariantNoun<LayerSpec> {
  static constexpr std::string_view text = "layer";
};

template <>
struct Description<UniformInit> {
  static constexpr std::string_view name = "uniform";
  static constexpr std::string_view effect = "uniform between minus this number and this number";
  static constexpr bool bare = true;
  static void fields(auto& visit, auto& init) {
    visit(Key{.name = name, .effect = effect, .required = true}, init.limit, Numbers{above(0), at_most(1e6)});
  }
};

template <>
struct Description<NormalInit> {
  static constexpr std::string_view name = "normal";
  static constexpr std::string_view effect = "normal with mean 0 and this standard deviation";
  static constexpr bool bare = true;
  static void fields(auto& visit, auto& init) {
    visit(Key{.name = name, .effect = effect, .required = true}, init.stddev,
          Numbers{above(0), at_most(1e6)});
  }
};

template <>
struct Description<ConstantInit> {
  static constexpr std::string_view name = "constant";
  static constexpr std::string_view effect = "this number everywhere";
  static constexpr bool bare = true;
  static void fields(auto& visit, auto& init) {
    visit(Key{.name = name, .effect = effect, .required = true}, init.value,
          Numbers{at_least(-1e6), at_most(1e6)});
  }
};

template <>
struct Description<ZerosInit> {
  static constexpr std::string_view name = "zeros";
  static constexpr std::string_view effect = "0 everywhere";
  static void fields(auto& /*visit*/, auto& /*init*/) {}
};

template <>
struct Description<HeUniformInit> {
  static constexpr std::string_view name = "he_uniform";
  static constexpr std::string_view effect = "uniform within ±√(6 / fan-in): for layers before a ReLU";
  static void fields(auto& /*visit*/, auto& /*init*/) {}
};

template <>
struct Description<HeNormalInit> {
  static constexpr std::string_view name = "he_normal";
  static constexpr std::string_view effect =
      "normal with standard deviation √(2 / fan-in): for layers before a ReLU";
  static void fields(auto& /*visit*/, auto& /*init*/) {}
};

template <>
struct Description<GlorotUniformInit> {
  static constexpr std::string_view name = "glorot_uniform";
  static constexpr std::string_view effect = "uniform within ±√(6 / (fan-in + fan-out))";
  static void fields(auto& /*visit*/, auto& /*init*/) {}
};

template <>
struct Description<GlorotNormalInit> {
  static constexpr std::string_view name = "glorot_normal";
  static constexpr std::string_view effect = "normal with standard deviation √(2 / (fan-in + fan-out))";
  static void fields(auto& /*visit*/, auto& /*init*/) {}
};

/// The largest kernel, window, stride or padding.
inline constexpr std::int64_t widest = 4096;
/// The most output channels or units of one layer.
inline constexpr std::int64_t most_outputs = 1 << 20;

/// What every kind of layer has.
template <>
struct Description<Layer> {
  static void fields(auto& visit, auto& layer) {
    visit(Key{.name = "name",
              .effect = "names the layer in messages, overrides and saved weights; unique in the model",
              .fallback = "kind and count, as in `conv2d_1`"},
          layer.name, Name{});
  }
};

template <>
struct Description<Conv2d> {
  static constexpr std::string_view name = "conv2d";
  static constexpr std::string_view effect = "convolution of images";
  static void fields(auto& visit, auto& layer) {
    visit(Key{.name = "filters", .unit = "channels", .effect = "output channels", .required = true},
          layer.filters, integers(1, most_outputs));
    visit(Key{.name = "kernel", .unit = "pixels", .effect = "extent of a filter", .required = true},
          layer.kernel, Extents{1, widest});
    visit(Key{.name = "stride", .unit = "pixels", .effect = "step of the filter"}, layer.stride,
          Extents{1, widest});
    visit(
        Key{.name = "padding",
            .unit = "pixels",
            .effect =
                "zeros around the image; `same`: the output is the input divided by the stride, rounded up"},
        layer.padding, Paddings{widest});
    visit(Key{.name = "bias", .effect = "adds a learned number to each channel"}, layer.bias, Truth{});
    visit(Key{.name = "init", .effect = "initial weights"}, layer.init);
    visit(Key{.name = "bias_init", .effect = "initial bias"}, layer.bias_init);
  }
};

/// What max_pool and avg_pool have in common.
inline void describe_pool(auto& visit, auto& pool) {
  visit(Key{.name = "size", .unit = "pixels", .effect = "extent of the window", .required = true}, pool.size,
        Extents{1, widest});
  visit(Key{.name = "stride", .unit = "pixels", .effect = "step of the window", .fallback = "the size"},
        pool.stride, Extents{1, widest});
  visit(Key{.name = "padding",
            .unit = "pixels",
            .effect = "cells around the image that never count; numbers must be smaller than the window"},
        pool.padding, Paddings{widest});
}

template <>
struct Description<MaxPool> {
  static constexpr std::string_view name = "max_pool";
  static constexpr std::string_view effect = "largest value of each window, of equals the first";
  static void fields(auto& visit, auto& layer) { describe_pool(visit, layer); }
};

template <>
struct Description<AvgPool> {
  static constexpr std::string_view name = "avg_pool";
  static constexpr std::string_view effect = "mean of each window";
  static void fields(auto& visit, auto& layer) { describe_pool(visit, layer); }
};

template <>
struct Description<Dense> {
  static constexpr std::string_view name = "dense";
  static constexpr std::string_view effect =
      "every output sees every input; takes one axis, so put `flatten` before it";
  static void fields(auto& visit, auto& layer) {
    visit(Key{.name = "units", .unit = "outputs", .effect = "number of outputs", .required = true},
          layer.units, integers(1, most_outputs));
    visit(Key{.name = "bias", .effect = "adds a learned number to each output"}, layer.bias, Truth{});
    visit(Key{.name = "init", .effect = "initial weights"}, layer.init);
    visit(Key{.name = "bias_init", .effect = "initial bias"}, layer.bias_init);
  }
};

template <>
struct Description<Relu> {
  static constexpr std::string_view name = "relu";
  static constexpr std::string_view effect = "max(0, x)";
  static void fields(auto& /*visit*/, auto& /*layer*/) {}
};

template <>
struct Description<Tanh> {
  static constexpr std::string_view name = "tanh";
  static constexpr std::string_view effect = "hyperbolic tangent";
  static void fields(auto& /*visit*/, auto& /*layer*/) {}
};

template <>
struct Description<Sigmoid> {
  static constexpr std::string_view name = "sigmoid";
  static constexpr std::string_view effect = "1 / (1 + exp(-x))";
  static void fields(auto& /*visit*/, auto& /*layer*/) {}
};

template <>
struct Description<Flatten> {
  static constexpr std::string_view name = "flatten";
  static constexpr std::string_view effect = "channels, height and width become one axis";
  static void fields(auto& /*visit*/, auto& /*layer*/) {}
};

template <>
struct Description<Dropout> {
  static constexpr std::string_view name = "dropout";
  static constexpr std::string_view effect =
      "in training, zeroes random activations and scales up the others";
  static void fields(auto& visit, auto& layer) {
    visit(Key{.name = "rate", .effect = "share of the activations that become zero"}, layer.rate,
          Numbers{at_least(0), below(1)});
  }
};

}  // namespace lockstep::config
