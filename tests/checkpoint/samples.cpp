#include "checkpoint/samples.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <iterator>

#include "io/hdf5_seal.h"

namespace lockstep::checkpoint {
namespace {

AlignedBuffer<float> buffer_of(const std::vector<float>& values) {
  AlignedBuffer<float> buffer(values.size());
  std::ranges::copy(values, buffer.data());
  return buffer;
}

void expect_same_bits(std::span<const float> found, std::span<const float> expected,
                      const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  const auto bits = [](std::span<const float> values) { return std::as_bytes(values); };
  EXPECT_TRUE(std::ranges::equal(bits(found), bits(expected))) << what;
}

}  // namespace

Parameters small_model() {
  Parameters parameters;
  parameters.declare("fc1.weight", {10, 48});
  parameters.declare("fc1.bias", {10});
  parameters.declare("conv1.weight", {3, 2, 5, 5});
  parameters.declare("conv1.bias", {3});
  parameters.declare("scale", {1});
  return parameters;
}

std::vector<float> slab_of(const Parameters& parameters, int salt) {
  std::vector<float> slab(static_cast<std::size_t>(parameters.slab_size()), 0.0F);
  for (const Parameter& parameter : parameters.all())
    for (std::int64_t i = 0; i < parameter.count; ++i)
      slab[static_cast<std::size_t>(parameter.offset + i)] =
          static_cast<float>(parameter.offset + i + salt) * (i % 2 == 0 ? 0.1F : -1e-3F);
  return slab;
}

Snapshot snapshot_of(const Parameters& parameters, std::int64_t global_step) {
  constexpr std::int64_t steps = 40;
  const int salt = static_cast<int>(global_step);
  Snapshot snapshot;
  snapshot.experiment = "name: probe\nnote: \"größer\"\n";
  snapshot.data = "60 samples";
  snapshot.arithmetic = "scalar, build 7";
  snapshot.epoch = 1 + global_step / steps;
  snapshot.step = global_step % steps;
  snapshot.global_step = global_step;
  snapshot.seconds = 0.1 * static_cast<double>(global_step);
  snapshot.last_loss = 2.0 / (3.0 + static_cast<double>(global_step));
  snapshot.val_accuracy = 1.0 / 3.0;
  for (int shard = 0; shard < 5; ++shard)
    snapshot.totals.push_back(
        {.loss = 1.0 / (shard + salt + 1), .correct = salt + shard, .samples = 17 + shard});
  snapshot.totals[0].loss = -0.0;
  snapshot.totals[1].loss = 5e-324;
  snapshot.sample_digest = 0xfedcba9876543210U + static_cast<std::uint64_t>(global_step);
  snapshot.weights_digest = static_cast<std::uint64_t>(global_step);
  snapshot.optimizer_digest = ~static_cast<std::uint64_t>(global_step);
  snapshot.weights = buffer_of(slab_of(parameters, salt + 1));
  snapshot.optimizer.push_back({"moment1", buffer_of(slab_of(parameters, salt + 2))});
  snapshot.optimizer.push_back({"moment2", buffer_of(slab_of(parameters, salt + 3))});
  return snapshot;
}

void add_average(Snapshot& snapshot, const Parameters& parameters) {
  snapshot.average_count = 12;
  snapshot.average_digest = 0x0123456789abcdefU;
  snapshot.average = buffer_of(slab_of(parameters, 4));
}

void expect_equal(const Snapshot& found, const Snapshot& expected) {
  EXPECT_EQ(found.experiment, expected.experiment);
  EXPECT_EQ(found.data, expected.data);
  EXPECT_EQ(found.arithmetic, expected.arithmetic);
  EXPECT_EQ(found.epoch, expected.epoch);
  EXPECT_EQ(found.step, expected.step);
  EXPECT_EQ(found.global_step, expected.global_step);
  EXPECT_EQ(std::bit_cast<std::uint64_t>(found.seconds), std::bit_cast<std::uint64_t>(expected.seconds));
  EXPECT_EQ(found.last_loss, expected.last_loss);
  EXPECT_EQ(found.val_accuracy, expected.val_accuracy);
  EXPECT_EQ(found.sample_digest, expected.sample_digest);
  EXPECT_EQ(found.weights_digest, expected.weights_digest);
  EXPECT_EQ(found.optimizer_digest, expected.optimizer_digest);
  ASSERT_EQ(found.totals, expected.totals);
  for (std::size_t shard = 0; shard < found.totals.size(); ++shard)
    EXPECT_EQ(std::bit_cast<std::uint64_t>(found.totals[shard].loss),
              std::bit_cast<std::uint64_t>(expected.totals[shard].loss));
  expect_same_bits(found.weights.span(), expected.weights.span(), "weights");
  EXPECT_EQ(found.average_count, expected.average_count);
  EXPECT_EQ(found.average_digest, expected.average_digest);
  expect_same_bits(found.average.span(), expected.average.span(), "average");
  ASSERT_EQ(found.optimizer.size(), expected.optimizer.size());
  for (std::size_t i = 0; i < found.optimizer.size(); ++i) {
    EXPECT_EQ(found.optimizer[i].name, expected.optimizer[i].name);
    expect_same_bits(found.optimizer[i].values.span(), expected.optimizer[i].values.span(),
                     expected.optimizer[i].name);
  }
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void seal_again(const std::string& path) {
  std::string bytes = contents(path);
  const auto seal =
      io::hdf5::seal_of(std::as_bytes(std::span<const char>(bytes).subspan(io::hdf5::seal_bytes)));
  std::ranges::copy(seal, bytes.begin());
  overwrite(path, bytes);
}

void damage_values(const std::string& path, std::span<const float> values) {
  std::string bytes = contents(path);
  const std::size_t at =
      bytes.find(std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
  ASSERT_NE(at, std::string::npos) << path;
  char& last = bytes[at + values.size_bytes() - 1];
  last = static_cast<char>(last ^ 1);
  overwrite(path, bytes);
}

}  // namespace lockstep::checkpoint
