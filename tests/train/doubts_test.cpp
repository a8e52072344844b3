#include "train/doubts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "train/sample_training.h"

namespace lockstep::train {
namespace {

using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DoubtsTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> about(const std::vector<std::string>& overrides) const {
    return doubts(make_blueprint(sample_experiment(data_, overrides)));
  }

 private:
  lockstep::testing::TemporaryFolder folder_;
  std::string data_ = write_samples(folder_.file("data.h5"), 64);
};

TEST_F(DoubtsTest, NoneOfAnOrdinaryExperiment) {
  EXPECT_THAT(about({}), IsEmpty());
}

TEST_F(DoubtsTest, SamplesThatBothSetsHave) {
  EXPECT_THAT(about({"data.validation.images=/train/x", "data.validation.labels=/train/y"}),
              ElementsAre(HasSubstr("64 samples in common")));
}

TEST_F(DoubtsTest, ShardsThatAreAlwaysEmpty) {
  EXPECT_THAT(about({"training.batch=8", "training.shards=8"}), IsEmpty());
  EXPECT_THAT(about({"training.batch=7", "training.shards=8"}),
              ElementsAre(AllOf(HasSubstr("training.batch is 7"), HasSubstr("training.shards, 8"))));
}

TEST(Doubts, TypesAndChannelsOfTheImages) {
  Blueprint blueprint{.experiment = {}, .train = {}, .validation = data::DatasetInfo{}, .network = {}};
  blueprint.train.samples = blueprint.validation->samples = 1000;
  blueprint.experiment.training.batch = 100;
  blueprint.experiment.data.train.images = "/train/images";
  blueprint.experiment.data.validation.emplace().images = "/test/images";
  blueprint.train.file = "mine.h5";
  blueprint.train.image = blueprint.validation->image = Shape{3, 32, 32};
  EXPECT_THAT(doubts(blueprint), IsEmpty());
  blueprint.validation->image_type = DType::f32;
  EXPECT_THAT(doubts(blueprint), ElementsAre(AllOf(HasSubstr("are u8"), HasSubstr("validate on f32"))));
  blueprint.validation.reset();
  blueprint.train.image = Shape{32, 32, 3};
  EXPECT_THAT(doubts(blueprint),
              ElementsAre(AllOf(HasSubstr("mine.h5 are 32×32×3"), HasSubstr("transpose"))));
  for (const Shape& image : {Shape{1, 28, 1}, Shape{1, 5, 4}, Shape{64}, Shape{16, 16, 8}}) {
    blueprint.train.image = image;
    EXPECT_THAT(doubts(blueprint), IsEmpty()) << image.text();
  }
}

}  // namespace
}  // namespace lockstep::train
