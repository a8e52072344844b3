#include "metrics/console_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "metrics/profile_text.h"
#include "metrics/records.h"

namespace lockstep::metrics {
namespace {

using ::lockstep::testing::epoch_record;
using lockstep::testing::progress_text;
using ::lockstep::testing::step_record;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

RunHeader header() {
  RunHeader header;
  header.experiment = "mnist_cnn";
  header.file = "configs/mnist_cnn.yaml";
  header.folder = "runs/abc";
  header.ranks = 3;
  header.hosts = {"alpha", "beta"};
  header.threads_per_rank = 4;
  header.device = "cpu (avx2), oneDNN 2.6.3";
  header.exchange = "shared memory, 1.7 MB a step";
  header.train_samples = 60000;
  header.val_samples = 10000;
  header.parameters = 428330;
  header.epochs = 30;
  header.steps_per_epoch = 469;
  header.batch = 128;
  header.shards = 8;
  header.reproducibility = "lockstep";
  return header;
}

TEST(ConsoleText, HeaderSaysWhatIsTrainedAndWhere) {
  const std::string text = header_text(header(), false);
  for (const char* part :
       {"mnist_cnn  configs/mnist_cnn.yaml\n", "3 on 2 hosts (alpha, beta), 4 threads each\n",
        "cpu (avx2), oneDNN 2.6.3\n", "60,000 for training, 10,000 for validation\n", "428,330\n",
        "30 epochs of 469 steps, batch 128 in 8 shards\n", "shared memory, 1.7 MB a step\n",
        "lockstep: the same bits", "runs/abc\n"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(text, Not(HasSubstr("idle")));
}

TEST(ConsoleText, HeaderLeavesOutWhatThereIsNot) {
  RunHeader one = header();
  one.ranks = 1;
  one.threads_per_rank = 1;
  one.hosts = {"alpha"};
  one.val_samples = 0;
  one.exchange = "";
  one.reproducibility = "run";
  const std::string text = header_text(one, false);
  EXPECT_THAT(text,
              AllOf(HasSubstr("1 on 1 host (alpha), 1 thread\n"), HasSubstr("60,000 for training\n"),
                    Not(HasSubstr("validation")), Not(HasSubstr("exchange")), Not(HasSubstr("same bits"))));
}

TEST(ConsoleText, HeaderNamesIdleCoresAndWhatChangesThat) {
  RunHeader idle = header();
  idle.cores_idle = 2;
  idle.idle_advice = "start 8 ranks";
  EXPECT_THAT(header_text(idle, false), HasSubstr("2 cores; start 8 ranks\n"));
  idle.cores_idle = 1;
  EXPECT_THAT(header_text(idle, false), HasSubstr("1 core; start 8 ranks\n"));
}

TEST(ConsoleText, HeaderOfManyHostsStaysShort) {
  RunHeader many = header();
  many.hosts.clear();
  for (int i = 0; i < 100; ++i) many.hosts.push_back("node" + std::to_string(i));
  EXPECT_THAT(header_text(many, false), HasSubstr("100 hosts (node0, node1, node2, node3 and 96 more)"));
}

TEST(ConsoleText, ColumnsLineUp) {
  // clang-format off
  EXPECT_EQ(heads_text(true, false),
            "    epoch      loss  accuracy   val loss  val acc  learning rate  seconds  samples/s\n");
  EXPECT_EQ(row_text(epoch_record(3), true),
            "     3/12   0.11111    96.67%    0.04762   98.33%       0.033333     2.50     12,346\n");
  EXPECT_EQ(row_text(epoch_record(3, false), true),
            "     3/12   0.11111    96.67%          -        -       0.033333     2.50     12,346\n");
  EXPECT_EQ(heads_text(false, false),
            "    epoch      loss  accuracy  learning rate  seconds  samples/s\n");
  EXPECT_EQ(row_text(epoch_record(3, false), false),
            "     3/12   0.11111    96.67%       0.033333     2.50     12,346\n");
  // clang-format on
}

TEST(ConsoleText, RowHoldsTheNumbersOfItsEpoch) {
  EpochRecord record = epoch_record(3);
  record.train_loss = 0.123456;
  record.train_accuracy = 0.98764;
  record.val_loss = 0.0004321;
  record.val_accuracy = 0.9934;
  record.learning_rate = 0.05;
  record.seconds = 12.345;
  record.samples_per_second = 12345.6;
  const std::string row = row_text(record, true);
  for (const char* part :
       {" 3/12 ", " 0.12346 ", " 98.76% ", " 0.00043 ", " 99.34% ", " 0.05 ", " 12.3", " 12,346\n"})
    EXPECT_THAT(row, HasSubstr(part));
  record.train_loss = 1.5e10;
  record.val_loss = std::nan("");
  EXPECT_THAT(row_text(record, true), AllOf(HasSubstr(" 1.5e+10 "), HasSubstr(" nan ")));
  record.samples_per_second = INFINITY;
  EXPECT_THAT(row_text(record, true), HasSubstr(" ?\n"));
}

TEST(ConsoleText, ProgressFitsAnyWidth) {
  const StepRecord record = step_record(7, 120);
  std::size_t longest = 0;
  for (std::size_t columns = 1; columns <= 300; ++columns) {
    const std::string text = progress_text(record, columns);
    EXPECT_LE(text.size(), columns);
    EXPECT_FALSE(text.empty());
    EXPECT_EQ(text.find_first_of("\r\n\x1b"), std::string::npos);
    longest = std::max(longest, text.size());
  }
  EXPECT_LT(longest, 150U) << "the bar does not grow without end";
}

TEST(ConsoleText, ProgressKeepsTheMostImportant) {
  const StepRecord record = step_record(7, 120);
  EXPECT_EQ(progress_text(record, 9), "epoch 7/1");
  EXPECT_EQ(progress_text(record, 30), "epoch 7/12  step 120/400");
  EXPECT_EQ(progress_text(record, 65), "epoch 7/12  step 120/400  loss 0.0165  acc 30.00%  8,120/s");
  const std::string all = "epoch 7/12  step 120/400  loss 0.0165  acc 30.00%  8,120/s  1:04:40 left";
  EXPECT_EQ(progress_text(record, 79), all) << "a usual terminal shows every field";
  EXPECT_EQ(progress_text(record, all.size() + 13), all);
  EXPECT_EQ(progress_text(record, all.size() + 14),
            "epoch 7/12  step 120/400  [###.......]  loss 0.0165  acc 30.00%  8,120/s  1:04:40 left");
}

TEST(ConsoleText, ProgressBarFillsUp) {
  EXPECT_THAT(progress_text(step_record(1, 0), 200), HasSubstr("[..............................]"));
  EXPECT_THAT(progress_text(step_record(1, 200), 200), HasSubstr("[###############...............]"));
  EXPECT_THAT(progress_text(step_record(1, 400), 200), HasSubstr("[##############################]"));
}

TEST(ConsoleText, SummaryNamesTheBestEpochAndTheFiles) {
  RunSummary summary;
  summary.status = "finished";
  summary.epochs_done = 12;
  summary.steps_done = 4800;
  summary.seconds = 367;
  summary.startup_seconds = 0.4;
  summary.peak_memory_bytes = 123456789;
  summary.best = epoch_record(9);
  summary.last = epoch_record(12);
  summary.folder = "runs/abc";
  summary.weights = "runs/abc/final_weights.h5";
  const std::string text = summary_text(summary, false);
  for (const char* part : {"finished after 12 epochs, 4,800 steps, in 6:07\n",
                           "epoch 9: validation accuracy 99.44%, loss 0.01587\n", "0.40 s to the first step",
                           "123.5 MB", "runs/abc/final_weights.h5\n", "runs/abc\n"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(text, Not(HasSubstr("why")));
}

TEST(ConsoleText, SummaryEndsWithTheDigest) {
  RunSummary summary;
  summary.folder = "runs/abc";
  summary.weights = "runs/abc/final_weights.h5";
  summary.weights_digest = "00c0ffee00c0ffee";
  EXPECT_THAT(summary_text(summary, false), EndsWith("\n  digest     00c0ffee00c0ffee\n"));
}

TEST(ConsoleText, SummaryOfAnEarlyEndSaysWhy) {
  RunSummary summary;
  summary.status = "diverged";
  summary.detail = "epoch 1, step 3: the gradient of conv1.weight is not finite";
  const std::string text = summary_text(summary, false);
  EXPECT_THAT(text, AllOf(HasSubstr("diverged after 0 epochs, 0 steps"), HasSubstr(summary.detail),
                          Not(HasSubstr("best")), Not(HasSubstr("weights  "))));
}

TEST(ConsoleText, ColourOnlyWhereAsked) {
  RunHeader idle = header();
  idle.cores_idle = 1;
  RunSummary summary;
  for (const char* status : {"finished", "stopped by a signal", "failed"}) {
    summary.status = status;
    EXPECT_THAT(summary_text(summary, true), HasSubstr("\x1b["));
    EXPECT_THAT(summary_text(summary, false), Not(HasSubstr("\x1b")));
  }
  EXPECT_THAT(header_text(idle, true), HasSubstr("\x1b["));
  EXPECT_THAT(header_text(idle, false), Not(HasSubstr("\x1b")));
  EXPECT_THAT(heads_text(true, true), HasSubstr("\x1b["));
  EXPECT_THAT(heads_text(true, false), Not(HasSubstr("\x1b")));
}

TEST(ConsoleText, IsAscii) {
  const auto is_ascii = [](const std::string& text) {
    return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 128; });
  };
  RunSummary summary;
  summary.best = epoch_record(2);
  EXPECT_TRUE(is_ascii(header_text(header(), true)));
  EXPECT_TRUE(is_ascii(heads_text(true, true) + row_text(epoch_record(1), true)));
  EXPECT_TRUE(is_ascii(progress_text(step_record(1, 1), 200)));
  EXPECT_TRUE(is_ascii(summary_text(summary, true)));
}

TEST(ProfileText, HasALineForEachThreadAndLayer) {
  const ProfileRecord record{
      .steps = 469,
      .ranks = {{.loading = 0.5, .computing = 10, .status = 0.25, .exchange = 1, .waiting = 0.75}, {}},
      .threads = {{.rank = 0,
                   .thread = 0,
                   .packing = 0.25,
                   .forward = 3,
                   .backward = 5,
                   .adding = 0.5,
                   .checking = 0.125,
                   .fetching = 0.0625},
                  {.rank = 0, .thread = 1, .forward = 2, .backward = 5},
                  {.rank = 1, .thread = 0}},
      .layers = {{.name = "conv1", .forward = 1.5, .backward = 2.5}}};
  const std::string text = profile_text(record, false);
  EXPECT_THAT(text, HasSubstr("means of 469 steps\n"));
  // load, pack, forward, backward, add, check, fetch, idle, status, exchange, update, gather, rest, step,
  // waiting
  EXPECT_THAT(text,
              ::testing::ContainsRegex(
                  "\n +0 +0 +0.500 +0.250 +3.000 +5.000 +0.500 +0.125 +0.062 +1.062 +0.250 +1.000 +0.000 "
                  "+0.000 +0.000 +11.750 +0.750\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\n +1 +0.000 +2.000 +5.000 +0.000 +0.000 +0.000 +3.000\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\n +1 +0 +0.000"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\n  conv1 +1.500 +2.500\n"));
}

}  // namespace
}  // namespace lockstep::metrics
