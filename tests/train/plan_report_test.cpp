#include "train/plan_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "train/sample_training.h"

namespace lockstep::train {
namespace {

using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class PlanReportTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string report(const std::vector<std::string>& overrides) const {
    return plan_report(sample_experiment(file_, overrides), 1);
  }

 private:
  lockstep::testing::TemporaryFolder folder_;
  std::string file_ = write_samples(folder_.file("data.h5"), 64);
};

TEST_F(PlanReportTest, NamesLayersThatAreEvaluatedInAnotherWay) {
  const std::string own = report({"model.dense_1.units=64"});
  if (own.find("lockstep:dense") == std::string::npos)
    GTEST_SKIP() << "not run: this processor has no fused multiply-adds, and oneDNN computes both";
  // Not behind a ReLU: oneDNN packs its weights.
  EXPECT_THAT(own, ContainsRegex("\n  in evaluation: dense_1 [^,\n]+\n"));
  EXPECT_THAT(report({}), Not(HasSubstr("in evaluation")));
}

TEST_F(PlanReportTest, WarnsOfSamplesInCommon) {
  EXPECT_THAT(
      report({"data.validation.images=/train/x", "data.validation.labels=/train/y"}),
      HasSubstr("\nwarning     sample.yaml: data.train and data.validation have 64 samples in common"));
}

}  // namespace
}  // namespace lockstep::train
