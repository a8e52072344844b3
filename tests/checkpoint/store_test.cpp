#include "checkpoint/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>

#include "checkpoint/samples.h"
#include "io/error_of.h"
#include "io/process_limits.h"
#include "support/temporary_folder.h"

namespace lockstep::checkpoint {
namespace {

namespace fs = std::filesystem;
using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { store_.prepare(); }

  void save(std::int64_t step, std::optional<double> val_accuracy = std::nullopt) const {
    Snapshot snapshot = snapshot_of(model_, step);
    snapshot.val_accuracy = val_accuracy;
    EXPECT_EQ(store_.save(model_, snapshot), store_.path_of(step));
  }
  void damage(std::int64_t step) const {
    const Snapshot snapshot = snapshot_of(model_, step);
    damage_values(store_.path_of(step).string(), snapshot.weights.span().first(480));
  }
  void add_file(const std::string& name) const { overwrite((store_.folder() / name).string(), name); }
  [[nodiscard]] std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> steps;
    for (const Store::Entry& entry : store_.list()) steps.push_back(entry.global_step);
    return steps;
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& file : fs::directory_iterator(store_.folder()))
      names.push_back(file.path().filename().string());
    return names;
  }
  std::optional<Store::Found> newest(const Parameters& model) {
    reports_.clear();
    const auto check = [&](const Snapshot& snapshot, const std::string& path) {
      if (refused_.contains(snapshot.global_step)) fail(ExitCode::bad_data, "{}: refused", path);
    };
    return store_.newest_readable(model, check,
                                  [&](const std::string& message) { reports_.push_back(message); });
  }

  lockstep::testing::TemporaryFolder folder_;
  Parameters model_ = small_model();
  Store store_{folder_.path() / "run" / "checkpoints"};
  std::vector<std::string> reports_;
  std::set<std::int64_t> refused_;
};

TEST_F(StoreTest, ListsItsOwnFilesNewestFirst) {
  EXPECT_THAT(steps(), IsEmpty());
  save(9);
  save(1234);
  save(100);
  for (const char* name :
       {"step-5.h5", "step-00000000000x.h5", "step--00000000001.h5", "step-000000000001.h5x",
        "Step-000000000001.h5", "step-0000000000007.h5", "step-000000000003.h5.partial-1"})
    add_file(name);
  fs::create_directory(store_.path_of(77));
  EXPECT_THAT(steps(), ElementsAre(1234, 100, 9));
  EXPECT_EQ(store_.path_of(1234).filename(), "step-000000001234.h5");
}

TEST_F(StoreTest, StepsOfMoreDigitsSortAsNumbers) {
  add_file("step-1000000000000.h5");
  add_file("step-999999999999.h5");
  EXPECT_THAT(steps(), ElementsAre(1000000000000, 999999999999));
}

TEST_F(StoreTest, WithoutAFolderThereAreNone) {
  const Store none(folder_.path() / "none");
  EXPECT_THAT(none.list(), IsEmpty());
  EXPECT_FALSE(
      none.newest_readable(model_, [](const Snapshot&, const std::string&) {}, [](const std::string&) {}));
}

TEST_F(StoreTest, FolderThatCannotBeMadeIsNamed) {
  overwrite(folder_.file("file"), "");
  const Store store(folder_.path() / "file" / "checkpoints");
  expect_error(error_of([&] { store.prepare(); }), ExitCode::cannot_create, {store.folder().string()});
}

TEST_F(StoreTest, PreparingRemovesPartialFilesOfItsOwnPatternOnly) {
  save(3);
  for (const char* name : {"step-000000000003.h5.partial-12", "step-000000000004.h5.partial-12-1"})
    add_file(name);
  const std::vector<std::string> others = {
      "step-000000000003.h5.partial-",     "step-000000000003.h5.partial-12-",
      "step-000000000003.h5.partial-12x",  "step-3.h5.partial-12",
      "final_weights.h5.partial-12",       "notes.txt",
      "step-000000000003.h5.partial-1-2-3"};
  for (const std::string& name : others) add_file(name);
  store_.prepare();
  std::vector<std::string> expected = others;
  expected.emplace_back("step-000000000003.h5");
  EXPECT_THAT(files(), ::testing::UnorderedElementsAreArray(expected));
}

TEST_F(StoreTest, KeepsTheNewest) {
  for (const std::int64_t step : {10, 20, 30, 40, 50}) save(step);
  store_.prune(7, false);
  EXPECT_THAT(steps(), ElementsAre(50, 40, 30, 20, 10));
  store_.prune(3, false);
  EXPECT_THAT(steps(), ElementsAre(50, 40, 30));
  store_.prune(1, true);  // none has an accuracy
  EXPECT_THAT(steps(), ElementsAre(50));
}

TEST_F(StoreTest, KeepsTheBestAndTheEarliestOfEquals) {
  save(10, 0.5);
  save(20, 0.9);
  save(30);
  save(40, 0.9);
  save(50, 0.8);
  save(60, std::numeric_limits<double>::quiet_NaN());
  store_.prune(2, true);
  EXPECT_THAT(steps(), ElementsAre(60, 50, 20));
  save(70, 0.95);
  store_.prune(2, true);
  EXPECT_THAT(steps(), ElementsAre(70, 60));
  store_.prune(1, false);
  EXPECT_THAT(steps(), ElementsAre(70));
}

TEST_F(StoreTest, AccuracyOfZeroIsOneToo) {
  save(10, 0.0);
  save(20);
  save(30);
  store_.prune(1, true);
  EXPECT_THAT(steps(), ElementsAre(30, 10));
}

TEST_F(StoreTest, NewestThatIsWholeIsNeverDeleted) {
  for (const std::int64_t step : {10, 20, 30, 40}) save(step);
  damage(30);
  damage(40);
  store_.prune(1, false);
  EXPECT_THAT(steps(), ElementsAre(40, 20));
}

TEST_F(StoreTest, DamagedFilesAreNotTheBest) {
  save(10, 0.5);
  save(20, 0.9);
  save(30, 0.1);
  overwrite(store_.path_of(20).string(), "gone");
  store_.prune(1, true);
  EXPECT_THAT(steps(), ElementsAre(30, 10));
}

TEST_F(StoreTest, PruningLeavesOtherFilesAlone) {
  save(10);
  save(20);
  add_file("notes.txt");
  store_.prune(1, true);
  EXPECT_THAT(files(), UnorderedElementsAre("notes.txt", "step-000000000020.h5"));
}

TEST_F(StoreTest, FileThatCannotBeDeletedIsNamed) {
  save(10);
  save(20);
  const auto all_may_look = static_cast<fs::perms>(0555);
  for (const fs::path& folder : {folder_.path(), store_.folder().parent_path()})
    fs::permissions(folder, all_may_look, fs::perm_options::add);
  fs::permissions(store_.folder(), all_may_look);
  for (const std::int64_t step : {10, 20})
    fs::permissions(store_.path_of(step), fs::perms::others_read | fs::perms::group_read,
                    fs::perm_options::add);
  Error error(ExitCode::success, "");
  {
    const lockstep::testing::OrdinaryUser user;
    error = error_of([&] { store_.prune(1, false); });
  }
  fs::permissions(store_.folder(), fs::perms::owner_all);
  expect_error(error, ExitCode::io_error, {store_.path_of(10).string()});
  EXPECT_THAT(steps(), ElementsAre(20, 10));
}

TEST_F(StoreTest, TakesTheNewest) {
  save(10);
  save(20);
  const auto found = newest(model_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->entry.global_step, 20);
  EXPECT_EQ(found->snapshot.global_step, 20);
  EXPECT_EQ(found->entry.path, store_.path_of(20));
  EXPECT_THAT(reports_, IsEmpty());
}

TEST_F(StoreTest, DamagedNewestFallsBackToTheOneBefore) {
  for (const std::int64_t step : {10, 20, 30, 40}) save(step);
  damage(40);
  overwrite(store_.path_of(30).string(), contents(store_.path_of(30).string()).substr(0, 5000));
  const auto found = newest(model_);
  ASSERT_TRUE(found);
  Snapshot expected = snapshot_of(model_, 20);
  expected.val_accuracy.reset();
  expect_equal(found->snapshot, expected);
  EXPECT_THAT(reports_, ElementsAre(AllOf(HasSubstr(store_.path_of(40).string()), HasSubstr("damaged"),
                                          HasSubstr("; taking the checkpoint before it")),
                                    AllOf(HasSubstr(store_.path_of(30).string()), HasSubstr("cut off"),
                                          HasSubstr("; taking the checkpoint before it"))));
}

TEST_F(StoreTest, WhatIsWholeButNotRightGivesWayToo) {
  for (const std::int64_t step : {10, 20, 30}) save(step);
  refused_ = {30};
  const auto found = newest(model_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->entry.global_step, 20);
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("refused; taking the checkpoint before it")));
}

TEST_F(StoreTest, WhatIsLaterThanTheOneTakenIsSetAside) {
  for (const std::int64_t step : {10, 20, 30, 40}) save(step);
  damage(40);
  store_.set_aside_after(20);
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{20, 10}));
  EXPECT_THAT(files(), UnorderedElementsAre("step-000000000010.h5", "step-000000000020.h5",
                                            "step-000000000030.h5.unused", "step-000000000040.h5.unused"));
  save(30);
  store_.set_aside_after(20);  // takes the place of the one before
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{20, 10}));
}

TEST_F(StoreTest, NothingIsReadableWhenAllAreDamaged) {
  save(10);
  save(20);
  damage(10);
  damage(20);
  EXPECT_FALSE(newest(model_));
  ASSERT_EQ(reports_.size(), 2U);
  EXPECT_THAT(reports_[0], HasSubstr("taking the checkpoint before it"));
  EXPECT_THAT(reports_[1], HasSubstr("there is no checkpoint before it"));
}

TEST_F(StoreTest, FullDiskLeavesTheEarlierCheckpoints) {
  save(10);
  Error error(ExitCode::success, "");
  {
    const lockstep::testing::FileSizeLimit limit(4000);
    error = error_of([&] { store_.save(model_, snapshot_of(model_, 20)); });
  }
  expect_error(error, ExitCode::io_error, {store_.path_of(20).string()});
  EXPECT_THAT(files(), ElementsAre("step-000000000010.h5"));
  EXPECT_TRUE(newest(model_));
  EXPECT_THAT(reports_, IsEmpty());
}

}  // namespace
}  // namespace lockstep::checkpoint
