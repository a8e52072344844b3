#include "train/blueprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"
#include "train/sample_training.h"

namespace lockstep::train {
namespace {

using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CheckRanks, AllowsUpToAsManyAsShards) {
  config::Experiment experiment;
  for (const std::int64_t shards : {1, 8, 64}) {
    experiment.training.shards = shards;
    for (int ranks = 1; ranks <= shards; ++ranks) EXPECT_NO_THROW(check_ranks(experiment, ranks));
    EXPECT_THROW(check_ranks(experiment, static_cast<int>(shards) + 1), Error);
  }
}

TEST(CheckRanks, NamesAPowerOfTwoThatIsEnough) {
  config::Experiment experiment;
  experiment.training.shards = 8;
  for (const auto& [ranks, enough] : {std::pair{9, 16}, {16, 16}, {17, 32}, {1000, 1024}}) {
    try {
      check_ranks(experiment, ranks);
      FAIL() << ranks;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_config);
      EXPECT_THAT(error.what(), HasSubstr(fmt::format("{} ranks cannot share 8 shards", ranks)));
      EXPECT_THAT(error.what(), HasSubstr("at most 8 ranks"));
      EXPECT_THAT(error.what(), HasSubstr(fmt::format("training.shards={} ", enough)));
    }
  }
}

class BlueprintTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string data(std::int64_t samples) const {
    return write_samples(folder_.file("data.h5"), samples);
  }

 private:
  lockstep::testing::TemporaryFolder folder_;
};

TEST_F(BlueprintTest, RefusesAnAverageOfNothing) {
  const std::string file = data(75);  // 2 epochs of 3 steps
  for (const char* comes :
       {"{from_epoch: 2}", "{from_epoch: 2, every_steps: 5}", "{from_epoch: 1, every_steps: 6}"})
    EXPECT_NO_THROW(make_blueprint(sample_experiment(file, {std::string("training.average=") + comes})))
        << comes;
  try {
    make_blueprint(sample_experiment(file, {"training.average={from_epoch: 2, every_steps: 7}"}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_config);
    EXPECT_THAT(error.what(), HasSubstr("none of the steps from epoch 2 to the end, step 6, is a multiple"));
  }
}

TEST_F(BlueprintTest, HoldsTheFactsOfDataAndNetwork) {
  const Blueprint blueprint = make_blueprint(sample_experiment(data(75)));
  EXPECT_EQ(blueprint.train.samples, 75);
  EXPECT_EQ(blueprint.train.classes, 4);
  ASSERT_TRUE(blueprint.validation.has_value());
  EXPECT_EQ(blueprint.validation->samples, 37);
  EXPECT_EQ(blueprint.network.nodes.size(), 11U);
  EXPECT_EQ(blueprint.steps_per_epoch(), 3) << "32, 32 and 11 samples";
  EXPECT_EQ(blueprint.train_stripes().step_samples(2), 11);
  EXPECT_EQ(blueprint.validation_stripes().steps(), 2);
}

TEST_F(BlueprintTest, KnowsWhetherImagesAreDistorted) {
  const std::string file = data(64);
  EXPECT_FALSE(augmentation(make_blueprint(sample_experiment(file))));
  EXPECT_TRUE(augmentation(make_blueprint(sample_experiment(file, {"data.augment.shift=11"}))));
  EXPECT_THROW(make_blueprint(sample_experiment(file, {"data.augment.shift=12"})), Error);
}

TEST_F(BlueprintTest, PartsOfOneFileAreOtherData) {
  const std::string file = data(64);
  const Blueprint whole = make_blueprint(sample_experiment(file));
  const Blueprint part = make_blueprint(
      sample_experiment(file, {"data.train.rows=[0, 50]", "data.validation.images=/train/x",
                               "data.validation.labels=/train/y", "data.validation.rows=[50, 64]"}));
  EXPECT_EQ(part.train.samples, 50);
  EXPECT_EQ(part.validation->samples, 14);
  EXPECT_THAT(fingerprint(part), HasSubstr("50 samples (rows 0 to 50)"));
  EXPECT_THAT(fingerprint(part), HasSubstr("14 samples (rows 50 to 64)"));
  EXPECT_THAT(fingerprint(whole), ::testing::Not(HasSubstr("(rows")));
}

TEST_F(BlueprintTest, NoticesSamplesThatBothSetsHave) {
  const std::string file = data(64);
  const auto shared = [&](const std::string& validation, const std::string& rows,
                          const std::string& other_rows) {
    return shared_samples(make_blueprint(sample_experiment(
        file,
        {"data.train.rows=" + rows, "data.validation.file=" + validation, "data.validation.images=/train/x",
         "data.validation.labels=/train/y", "data.validation.rows=" + other_rows})));
  };
  EXPECT_THAT(shared(file, "[0, 50]", "[45, 64]"),
              AllOf(HasSubstr("5 samples in common, rows [45, 50] of /train/x in " + file),
                    HasSubstr("sample.yaml: data.train and data.validation")));
  EXPECT_THAT(shared(file, "[20, 60]", "[0, 21]"), HasSubstr("1 sample in common, rows [20, 21] "));
  EXPECT_EQ(shared(file, "[0, 50]", "[50, 64]"), "");
  EXPECT_EQ(shared(file, "[14, 64]", "[0, 14]"), "");
  const std::filesystem::path path(file);
  const std::string roundabout = (path.parent_path() / "." / path.filename()).string();
  EXPECT_NE(shared(roundabout, "[0, 50]", "[0, 50]"), "");
  EXPECT_EQ(shared_samples(make_blueprint(sample_experiment(file))), "") << "two data sets";
  EXPECT_THAT(shared_samples(make_blueprint(sample_experiment(
                  file, {"data.validation.images=train/x", "data.validation.labels=train/y"}))),
              HasSubstr("64 samples in common, rows [0, 64] "));
}

TEST_F(BlueprintTest, WholeSetMayBeOneBatch) {
  EXPECT_EQ(make_blueprint(sample_experiment(data(32))).steps_per_epoch(), 1);
  EXPECT_THROW(make_blueprint(sample_experiment(data(31))), Error);
}

TEST_F(BlueprintTest, ValidationSetMayBeSmallerThanABatch) {
  const Blueprint blueprint = make_blueprint(sample_experiment(data(40)));
  EXPECT_EQ(blueprint.validation_stripes().steps(), 1);
  EXPECT_EQ(blueprint.validation_stripes().step_samples(0), 20);
}

}  // namespace
}  // namespace lockstep::train
