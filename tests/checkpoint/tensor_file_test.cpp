#include "checkpoint/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/samples.h"
#include "checkpoint/weights_file.h"
#include "io/error_of.h"
#include "support/temporary_folder.h"

namespace lockstep::checkpoint {
namespace {

using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using lockstep::testing::TemporaryFolder;
using ::testing::ElementsAre;

std::vector<float> values_of(const Parameter& parameter, std::span<const float> slab) {
  const auto part =
      slab.subspan(static_cast<std::size_t>(parameter.offset), static_cast<std::size_t>(parameter.count));
  return {part.begin(), part.end()};
}

TEST(TensorFile, ReadsWeightsWithoutAModel) {
  const TemporaryFolder folder;
  const Parameters model = small_model();
  const std::vector<float> slab = slab_of(model);
  const WeightsInfo info{.experiment = "probe", .epoch = 3, .step = 120};
  write_weights(folder.file("w.h5"), model, slab, info);
  EXPECT_EQ(read_weights_info(folder.file("w.h5")), info);

  const TensorFile file(folder.file("w.h5"), weights_format);
  EXPECT_THAT(file.names(), ElementsAre("weights/conv1.bias", "weights/conv1.weight", "weights/fc1.bias",
                                        "weights/fc1.weight", "weights/scale"));
  for (const Parameter& parameter : model.all()) {
    EXPECT_EQ(file.shape("weights/" + parameter.name), parameter.shape);
    EXPECT_EQ(file.read("weights/" + parameter.name), values_of(parameter, slab));
  }
}

TEST(TensorFile, ReadsTheOptimizersStateOfACheckpointToo) {
  const TemporaryFolder folder;
  const Parameters model = small_model();
  const Snapshot snapshot = snapshot_of(model, 5);
  write_snapshot(folder.file("c.h5"), model, snapshot);
  const TensorFile file(folder.file("c.h5"), checkpoint_format);
  EXPECT_EQ(file.names().size(), 3 * model.all().size());
  EXPECT_EQ(file.read("optimizer/moment2/fc1.weight"),
            values_of(model[0], snapshot.optimizer[1].values.span()));
  EXPECT_EQ(sealed_format(folder.file("c.h5")), "lockstep checkpoint");
}

TEST(TensorFile, RefusesWhatItIsNot) {
  const TemporaryFolder folder;
  const Parameters model = small_model();
  write_snapshot(folder.file("c.h5"), model, snapshot_of(model, 5));
  expect_error(error_of([&] { TensorFile(folder.file("c.h5"), weights_format); }), ExitCode::bad_data,
               {"c.h5", "not a file of Lockstep weights"});
  overwrite(folder.file("c.h5"), contents(folder.file("c.h5")) + "x");
  expect_error(error_of([&] { sealed_format(folder.file("c.h5")); }), ExitCode::bad_data,
               {"c.h5", "damaged"});
  overwrite(folder.file("other"), "no HDF5 at all");
  EXPECT_EQ(sealed_format(folder.file("other")), std::nullopt);
  EXPECT_EQ(sealed_format(folder.file("none")), std::nullopt);
}

}  // namespace
}  // namespace lockstep::checkpoint
