#include "train/digest_file.h"

#include <gtest/gtest.h>

#include <sstream>

#include "io/error_of.h"
#include "metrics/digests.h"
#include "support/temporary_folder.h"
#include "train/digests.h"

namespace lockstep::train {
namespace {

using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using metrics::DigestRecord;

const std::string header = "step,epoch,weights,optimizer,samples,metrics\n";
const std::string hash = "00000000000000aa";

std::vector<DigestRecord> parsed(const std::string& rows) {
  std::istringstream text(header + rows);
  return parse_digests(text, "d.csv");
}

TEST(DigestFile, ReadsWhatARunWrites) {
  const lockstep::testing::TemporaryFolder folder;
  const std::string path = folder.file("digests.csv");
  const std::vector<DigestRecord> records{
      {.step = 0, .epoch = 1, .weights = 0xabc, .at_epoch_end = {}},
      {.step = 7, .epoch = 1, .weights = ~std::uint64_t{0}, .at_epoch_end = metrics::EpochDigests{3, 4, 5}},
      {.step = 8, .epoch = 2, .weights = 0, .at_epoch_end = {}}};
  metrics::Digests sink(path);
  for (const DigestRecord& record : records) sink.digest(record);
  sink.end({});

  const auto found = read_digests(path);
  ASSERT_EQ(found.size(), records.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].step, records[i].step);
    EXPECT_EQ(found[i].epoch, records[i].epoch);
    EXPECT_EQ(found[i].weights, records[i].weights);
    EXPECT_EQ(found[i].at_epoch_end.has_value(), records[i].at_epoch_end.has_value());
  }
  EXPECT_EQ(found[1].at_epoch_end->optimizer, 3U);
  EXPECT_EQ(found[1].at_epoch_end->samples, 4U);
  EXPECT_EQ(found[1].at_epoch_end->metrics, 5U);
}

TEST(DigestFile, NamesTheLineThatIsWrong) {
  const std::string good = "0,1," + hash + ",,,\n";
  for (const std::string& bad :
       std::vector<std::string>{"1,1," + hash + ",,\n", "1,1," + hash + ",,,,\n", "x,1," + hash + ",,,\n",
                                "-1,1," + hash + ",,,\n", "1,1,00aa,,,\n", "1,1,000000000000zzzz,,,\n",
                                "1,1," + hash + "," + hash + ",,\n", "\n", "1 ,1," + hash + ",,,\n"})
    expect_error(error_of([&] { parsed(good + bad); }), ExitCode::bad_data, {"d.csv:3: "});
  expect_error(error_of([&] { parsed(good + "1,1," + hash + ",,,"); }), ExitCode::bad_data,
               {"d.csv:3: ", "cut off"});
  for (const std::string next : {"0,1,", "5,1,", "5,2,"})
    expect_error(error_of([&] { parsed("5,2," + hash + ",,,\n" + next + hash + ",,,\n"); }),
                 ExitCode::bad_data, {"d.csv:3: ", "out of order"});
}

TEST(DigestFile, RefusesOtherColumnsAndEmptyFiles) {
  std::istringstream other("step,weights\n");
  expect_error(error_of([&] { parse_digests(other, "d.csv"); }), ExitCode::bad_data,
               {"d.csv:1: ", "step,weights"});
  expect_error(error_of([&] { parsed(""); }), ExitCode::bad_data, {"d.csv: ", "no digests"});
  expect_error(error_of([] { read_digests("/nowhere/digests.csv"); }), ExitCode::no_input,
               {"/nowhere/digests.csv", "No such file"});
}

TEST(Digests, AreDueEveryKSteps) {
  const auto due = [](std::int64_t every) {
    std::string steps;
    for (std::int64_t step = 0; step < 8; ++step)
      if (digest_is_due(every, step)) steps += std::to_string(step);
    return steps;
  };
  EXPECT_EQ(due(1), "01234567");
  EXPECT_EQ(due(3), "036");
  EXPECT_EQ(due(0), "0") << "those of epochs come by themselves";
}

}  // namespace
}  // namespace lockstep::train
