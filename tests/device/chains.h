#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "device/backend.h"

/// Networks, weights and data for the tests of backends.
namespace lockstep::testing {

/// A shard's data, generated.
struct Shard {
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  std::vector<std::int64_t> rows;

  Shard(const device::Network& network, std::int64_t samples, std::uint32_t seed);
  [[nodiscard]] device::ShardInput input() const { return {images.data(), labels.data(), rows.data(), 3}; }
};

/// Weights of a size that keeps activations near one through any number of layers.
std::vector<float> weights_of(const device::Network& network);

struct NamedNetwork {
  std::string name;
  device::Network network;
  friend std::ostream& operator<<(std::ostream& out, const NamedNetwork& named) { return out << named.name; }
};

/// Chains that meet every junction of layouts: blocked to plain and back, nothing to convert, a ReLU taken
/// over or not, a mask moved behind a pool, layers below the lowest parameters, outputs without flatten.
std::vector<NamedNetwork> chains();

}  // namespace lockstep::testing
