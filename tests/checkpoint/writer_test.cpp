#include "checkpoint/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <new>
#include <thread>
#include <vector>

#include "base/error.h"
#include "checkpoint/samples.h"
#include "checkpoint/store.h"
#include "io/error_of.h"
#include "support/temporary_folder.h"

namespace lockstep::checkpoint {
namespace {

using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A snapshot that is only a number.
Snapshot numbered(std::int64_t global_step) {
  Snapshot snapshot;
  snapshot.global_step = global_step;
  return snapshot;
}

TEST(WriterTest, WritesWhatItWasGivenOnAnotherThread) {
  const lockstep::testing::TemporaryFolder folder;
  const Parameters model = small_model();
  const Store store(folder.path() / "checkpoints");
  store.prepare();
  std::thread::id thread;
  Writer writer([&](const Snapshot& snapshot) {
    thread = std::this_thread::get_id();
    store.save(model, snapshot);
    store.prune(2, false);
  });
  for (const std::int64_t step : {7, 8, 9}) writer.submit(snapshot_of(model, step));
  writer.wait();
  EXPECT_NE(thread, std::this_thread::get_id());
  ASSERT_EQ(store.list().size(), 2U);
  for (const std::int64_t step : {8, 9})
    expect_equal(read_snapshot(store.path_of(step).string(), model), snapshot_of(model, step));
}

TEST(WriterTest, OneAtATimeInOrder) {
  std::vector<std::int64_t> steps;
  std::atomic<int> inside = 0;
  Writer writer([&](const Snapshot& snapshot) {
    EXPECT_EQ(++inside, 1);
    steps.push_back(snapshot.global_step);
    --inside;
  });
  std::vector<std::int64_t> expected;
  for (std::int64_t step = 0; step < 200; ++step) {
    expected.push_back(step * 3);
    writer.submit(numbered(step * 3));
  }
  writer.wait();
  EXPECT_EQ(steps, expected);
}

TEST(WriterTest, SubmitDoesNotWaitForItsOwnWrite) {
  std::latch go(1);
  std::atomic<int> written = 0;
  Writer writer([&](const Snapshot&) {
    go.wait();
    ++written;
  });
  EXPECT_TRUE(writer.idle());
  writer.submit(numbered(1));  // would never return
  EXPECT_FALSE(writer.idle());
  EXPECT_EQ(written, 0);
  EXPECT_NO_THROW(writer.poll());
  EXPECT_FALSE(writer.recycle());
  go.count_down();
  writer.wait();
  EXPECT_EQ(written, 1);
  EXPECT_TRUE(writer.idle());
}

TEST(WriterTest, SubmitWaitsForTheOneBefore) {
  std::latch go(1);
  std::atomic<int> written = 0;
  Writer writer([&](const Snapshot&) {
    go.wait();
    ++written;
  });
  writer.submit(numbered(1));
  std::thread releaser([&] { go.count_down(); });
  writer.submit(numbered(2));
  EXPECT_GE(written, 1);
  releaser.join();
  writer.wait();
  EXPECT_EQ(written, 2);
}

TEST(WriterTest, DestructorWaits) {
  std::latch go(1);
  std::atomic<int> written = 0;
  std::thread releaser;
  {
    Writer writer([&](const Snapshot&) {
      go.wait();
      ++written;
    });
    writer.submit(numbered(1));
    releaser = std::thread([&] { go.count_down(); });
  }
  EXPECT_EQ(written, 1);
  releaser.join();
}

class FailingWriter : public ::testing::Test {
 protected:
  std::vector<std::int64_t> steps_;
  Writer writer_{[this](const Snapshot& snapshot) {
    if (snapshot.global_step < 0) fail(ExitCode::io_error, "cannot write step {}", snapshot.global_step);
    steps_.push_back(snapshot.global_step);
  }};
};

TEST_F(FailingWriter, ErrorArrivesInWaitOnce) {
  writer_.submit(numbered(-1));
  expect_error(error_of([&] { writer_.wait(); }), ExitCode::io_error, {"cannot write step -1"});
  EXPECT_NO_THROW(writer_.wait());
  EXPECT_NO_THROW(writer_.poll());
  writer_.submit(numbered(2));
  writer_.wait();
  EXPECT_THAT(steps_, ElementsAre(2));
}

TEST_F(FailingWriter, ErrorArrivesInPoll) {
  writer_.submit(numbered(-3));
  while (!writer_.idle()) std::this_thread::yield();
  expect_error(error_of([&] { writer_.poll(); }), ExitCode::io_error, {"cannot write step -3"});
}

TEST_F(FailingWriter, SubmitThatThrowsTakesNothing) {
  writer_.submit(snapshot_of(small_model(), -4));
  Snapshot next = snapshot_of(small_model(), 5);
  expect_error(error_of([&] { writer_.submit(std::move(next)); }), ExitCode::io_error,
               {"cannot write step -4"});
  expect_equal(next, snapshot_of(small_model(), 5));  // NOLINT(bugprone-use-after-move)
  EXPECT_THAT(steps_, IsEmpty());
  writer_.submit(std::move(next));
  writer_.wait();
  EXPECT_THAT(steps_, ElementsAre(5));
}

TEST_F(FailingWriter, BuffersComeBackAfterAnErrorToo) {
  Snapshot snapshot = snapshot_of(small_model(), -6);
  const float* weights = snapshot.weights.data();
  writer_.submit(std::move(snapshot));
  EXPECT_THROW(writer_.wait(), Error);
  const auto back = writer_.recycle();
  ASSERT_TRUE(back);
  EXPECT_EQ(back->weights.data(), weights);
}

TEST(WriterTest, BuffersComeBackOnce) {
  Writer writer([](const Snapshot&) {});
  EXPECT_FALSE(writer.recycle());
  Snapshot snapshot = snapshot_of(small_model(), 1);
  const float* weights = snapshot.weights.data();
  const float* moment = snapshot.optimizer[1].values.data();
  for (int save = 0; save < 3; ++save) {
    writer.submit(std::move(snapshot));
    writer.wait();
    auto back = writer.recycle();
    ASSERT_TRUE(back);
    EXPECT_EQ(back->weights.data(), weights);
    EXPECT_EQ(back->optimizer[1].values.data(), moment);
    EXPECT_FALSE(writer.recycle());
    snapshot = std::move(*back);
  }
}

TEST(WriterTest, ErrorsOfOtherTypesArriveAsTheyAre) {
  Writer writer([](const Snapshot&) { throw std::bad_alloc(); });
  writer.submit(numbered(1));
  EXPECT_THROW(writer.wait(), std::bad_alloc);
}

TEST(WriterTest, UnseenErrorIsLoggedAtTheEnd) {
  ::testing::internal::CaptureStderr();
  {
    Writer writer([](const Snapshot&) { fail(ExitCode::io_error, "cannot write 'x.h5': disk full"); });
    writer.submit(numbered(1));
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              ::testing::HasSubstr("cannot write 'x.h5': disk full"));
}

TEST(WriterTest, VanishedFolderIsNamedAndLaterWritesWork) {
  const lockstep::testing::TemporaryFolder folder;
  const Parameters model = small_model();
  const Store store(folder.path() / "checkpoints");
  Writer writer([&](const Snapshot& snapshot) { store.save(model, snapshot); });
  writer.submit(snapshot_of(model, 1));
  expect_error(error_of([&] { writer.wait(); }), ExitCode::cannot_create, {store.path_of(1).string()});
  store.prepare();
  writer.submit(snapshot_of(model, 2));
  writer.wait();
  EXPECT_EQ(store.list().size(), 1U);
}

}  // namespace
}  // namespace lockstep::checkpoint
