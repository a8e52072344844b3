#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <charconv>
#include <cmath>
#include <csignal>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "metrics/csv.h"
#include "metrics/digests.h"
#include "metrics/json.h"
#include "metrics/jsonl.h"
#include "metrics/records.h"
#include "support/temporary_folder.h"

namespace lockstep::metrics {
namespace {

using ::lockstep::testing::epoch_record;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string heads =
    "epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds,samples_per_second";

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char character : text)
    if (character == separator)
      parts.emplace_back();
    else
      parts.back() += character;
  return parts;
}

double number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  EXPECT_TRUE(error == std::errc() && end == text.data() + text.size()) << text;
  return value;
}

/// No file of this process may grow beyond `bytes` while this lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = std::signal(SIGXFSZ, SIG_IGN);
};

class MetricsFiles : public ::testing::Test {
 protected:
  [[nodiscard]] std::string csv() const { return folder_.file("metrics.csv"); }
  [[nodiscard]] std::string jsonl() const { return folder_.file("metrics.jsonl"); }
  [[nodiscard]] const lockstep::testing::TemporaryFolder& folder() const { return folder_; }

 private:
  lockstep::testing::TemporaryFolder folder_;
};

TEST_F(MetricsFiles, CsvReadsBackExactly) {
  Csv sink(csv());
  EXPECT_EQ(contents(csv()), heads + "\n");
  for (std::int64_t epoch = 1; epoch <= 40; ++epoch) {
    const EpochRecord record = epoch_record(epoch);
    sink.epoch(record);
    const std::string text = contents(csv());  // while the sink lives: whole after every epoch
    ASSERT_TRUE(text.ends_with('\n'));
    const std::vector<std::string> lines = split(text, '\n');
    ASSERT_EQ(lines.size(), static_cast<std::size_t>(epoch) + 2);
    const std::vector<std::string> fields = split(lines[static_cast<std::size_t>(epoch)], ',');
    ASSERT_EQ(fields.size(), 8U);
    EXPECT_EQ(fields[0], std::to_string(epoch));
    EXPECT_EQ(number(fields[1]), record.train_loss);
    EXPECT_EQ(number(fields[2]), record.train_accuracy);
    EXPECT_EQ(number(fields[3]), record.val_loss);
    EXPECT_EQ(number(fields[4]), record.val_accuracy);
    EXPECT_EQ(number(fields[5]), record.learning_rate);
    EXPECT_EQ(number(fields[6]), record.seconds);
    EXPECT_EQ(number(fields[7]), record.samples_per_second);
  }
}

/// What lies in `path` after `write` is what a run that was never stopped would have written.
void expect_whole_lines(const std::string& path, const std::string& whole, std::size_t lines) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < lines; ++i) end = whole.find('\n', end) + 1;
  EXPECT_EQ(contents(path), whole.substr(0, end));
}

TEST_F(MetricsFiles, TablesGoOnWhereACheckpointWas) {
  {
    Csv csv_sink(csv());
    Jsonl jsonl_sink(jsonl());
    for (std::int64_t epoch = 1; epoch <= 12; ++epoch) {
      csv_sink.epoch(epoch_record(epoch));
      jsonl_sink.epoch(epoch_record(epoch, epoch % 2 == 0));
    }
  }
  const std::string whole_csv = contents(csv());
  const std::string whole_jsonl = contents(jsonl());
  for (std::int64_t done = 11; done >= 0; --done) {
    std::ofstream(csv(), std::ios::app) << "13,0.25";  // a line that was on its way
    std::ofstream(jsonl(), std::ios::app) << R"({"epoch":13,)";
    Csv csv_sink(csv(), done);
    Jsonl jsonl_sink(jsonl(), done);
    expect_whole_lines(csv(), whole_csv, static_cast<std::size_t>(done) + 1);
    expect_whole_lines(jsonl(), whole_jsonl, static_cast<std::size_t>(done));
    csv_sink.epoch(epoch_record(done + 1));
    jsonl_sink.epoch(epoch_record(done + 1, (done + 1) % 2 == 0));
    expect_whole_lines(csv(), whole_csv, static_cast<std::size_t>(done) + 2);
    expect_whole_lines(jsonl(), whole_jsonl, static_cast<std::size_t>(done) + 1);
  }
}

TEST_F(MetricsFiles, TablesThatAreMissingStartAnew) {
  Csv(csv(), 3).epoch(epoch_record(4));
  EXPECT_TRUE(contents(csv()).starts_with(heads + "\n4,"));
  Jsonl(jsonl(), 3).epoch(epoch_record(4));
  EXPECT_EQ(read_epochs(jsonl()).front().epoch, 4);
  Digests digests(folder().file("digests.csv"), 3);
  digests.digest({.step = 4, .epoch = 1, .weights = 5, .at_epoch_end = {}});
  digests.flush();
  EXPECT_EQ(contents(folder().file("digests.csv")),
            "step,epoch,weights,optimizer,samples,metrics\n4,1,0000000000000005,,,\n");
}

TEST_F(MetricsFiles, DigestsGoOnWhereACheckpointWas) {
  const std::string path = folder().file("digests.csv");
  const auto write = [](Digests& digests, std::int64_t first, std::int64_t last) {
    for (std::int64_t step = first; step <= last; ++step) {
      const bool is_end = step % 5 == 0 && step > 0;
      const EpochDigests at_end{.optimizer = 7, .samples = 8, .metrics = static_cast<std::uint64_t>(step)};
      digests.digest({.step = step,
                      .epoch = 1 + step / 5,
                      .weights = static_cast<std::uint64_t>(step) << 40U,
                      .at_epoch_end = is_end ? std::optional(at_end) : std::nullopt});
    }
    digests.flush();
  };
  {
    Digests digests(path);
    write(digests, 0, 13);
  }
  const std::string whole = contents(path);
  for (const std::int64_t last : {13, 10, 9, 5, 1, 0, -1}) {
    Digests digests(path, last);
    expect_whole_lines(path, whole, static_cast<std::size_t>(last) + 2);
    write(digests, last + 1, 13);
    EXPECT_EQ(contents(path), whole);
  }
}

TEST_F(MetricsFiles, EpochsReadBackExactly) {
  {
    Jsonl sink(jsonl());
    for (std::int64_t epoch = 1; epoch <= 9; ++epoch) sink.epoch(epoch_record(epoch, epoch % 3 != 0));
    EpochRecord spoilt = epoch_record(10);
    spoilt.train_loss = std::numeric_limits<double>::infinity();
    sink.epoch(spoilt);
  }
  std::ofstream(jsonl(), std::ios::app) << R"({"epoch": "eleven"})" << "\n";
  const std::vector<EpochRecord> records = read_epochs(jsonl());
  ASSERT_EQ(records.size(), 10U);
  for (std::int64_t epoch = 1; epoch <= 9; ++epoch) {
    const EpochRecord expected = epoch_record(epoch, epoch % 3 != 0);
    const EpochRecord& found = records[static_cast<std::size_t>(epoch) - 1];
    EXPECT_EQ(found.epoch, epoch);
    EXPECT_EQ(found.train_loss, expected.train_loss);
    EXPECT_EQ(found.train_accuracy, expected.train_accuracy);
    EXPECT_EQ(found.val_loss, expected.val_loss);
    EXPECT_EQ(found.val_accuracy, expected.val_accuracy);
    EXPECT_EQ(found.learning_rate, expected.learning_rate);
    EXPECT_EQ(found.seconds, expected.seconds);
    EXPECT_EQ(found.samples_per_second, expected.samples_per_second);
  }
  EXPECT_TRUE(std::isnan(records.back().train_loss));
  EXPECT_TRUE(read_epochs(folder().file("none")).empty());
}

TEST_F(MetricsFiles, CsvNumbersAreShort) {
  Csv sink(csv());
  sink.epoch({.epoch = 1,
              .epochs = 2,
              .train_loss = 0.1,
              .train_accuracy = 1,
              .val_loss = 1e-20,
              .val_accuracy = 0.9934,
              .learning_rate = 0.05,
              .seconds = 7,
              .samples_per_second = 8192.5});
  EXPECT_EQ(contents(csv()), heads + "\n1,0.1,1,1e-20,0.9934,0.05,7,8192.5\n");
}

TEST_F(MetricsFiles, CsvWithoutValidationHasEmptyFields) {
  Csv sink(csv());
  EpochRecord record{.epoch = 1, .epochs = 2, .train_loss = 0.25, .train_accuracy = 0.5};
  record.learning_rate = 0.125;
  record.seconds = 2;
  record.samples_per_second = 3;
  sink.epoch(record);
  EXPECT_EQ(contents(csv()), heads + "\n1,0.25,0.5,,,0.125,2,3\n");
}

TEST_F(MetricsFiles, JsonlReadsBackExactly) {
  Jsonl sink(jsonl());
  EXPECT_EQ(contents(jsonl()), "");
  for (std::int64_t epoch = 1; epoch <= 40; ++epoch) {
    const EpochRecord record = epoch_record(epoch, epoch % 2 == 0);
    sink.epoch(record);
    const std::string text = contents(jsonl());
    ASSERT_TRUE(text.ends_with('\n'));
    const std::vector<std::string> lines = split(text, '\n');
    ASSERT_EQ(lines.size(), static_cast<std::size_t>(epoch) + 1);
    const auto object = nlohmann::ordered_json::parse(lines[static_cast<std::size_t>(epoch) - 1]);
    EXPECT_EQ(object["epoch"], epoch);
    EXPECT_EQ(object["train_loss"], record.train_loss);
    EXPECT_EQ(object["train_accuracy"], record.train_accuracy);
    EXPECT_EQ(object["learning_rate"], record.learning_rate);
    EXPECT_EQ(object["seconds"], record.seconds);
    EXPECT_EQ(object["samples_per_second"], record.samples_per_second);
    if (record.val_loss) {
      EXPECT_EQ(object["val_loss"], *record.val_loss);
      EXPECT_EQ(object["val_accuracy"], *record.val_accuracy);
    } else {
      EXPECT_TRUE(object["val_loss"].is_null());
      EXPECT_TRUE(object["val_accuracy"].is_null());
    }
    std::string keys;
    for (const auto& item : object.items()) keys += (keys.empty() ? "" : ",") + item.key();
    EXPECT_EQ(keys, heads);
  }
}

TEST_F(MetricsFiles, NumbersThatAreNotFinite) {
  EpochRecord record = epoch_record(1, false);
  record.train_loss = std::numeric_limits<double>::quiet_NaN();
  record.samples_per_second = std::numeric_limits<double>::infinity();
  Csv(csv()).epoch(record);
  EXPECT_THAT(contents(csv()), AllOf(HasSubstr("\n1,nan,"), HasSubstr(",inf\n")));
  Jsonl(jsonl()).epoch(record);
  EXPECT_TRUE(nlohmann::json::parse(contents(jsonl()))["train_loss"].is_null());
}

TEST_F(MetricsFiles, NeverOverwrite) {
  Csv(csv()).epoch(epoch_record(1));
  const std::string before = contents(csv());
  try {
    Csv again(csv());
    FAIL() << "overwrote " << csv();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::cannot_create);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(csv()), HasSubstr("File exists")));
  }
  EXPECT_EQ(contents(csv()), before);
}

TEST_F(MetricsFiles, MissingFolderIsNamed) {
  try {
    Jsonl sink(folder().file("none/metrics.jsonl"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::cannot_create);
    EXPECT_THAT(error.what(), HasSubstr("none/metrics.jsonl"));
  }
}

/// Writes epochs 1, 2, … until the disk is full at every possible place, and goes on when there is space
/// again.
void fill_up(const std::string& path, const std::function<std::unique_ptr<Sink>()>& make) {
  const std::unique_ptr<Sink> sink = make();
  sink->epoch(epoch_record(1));
  const std::string before = contents(path);
  for (rlim_t more = 0; more < 60; more += 7) {
    const FileSizeLimit limit(before.size() + more);
    try {
      sink->epoch(epoch_record(2));
      FAIL() << "wrote beyond the limit";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::io_error);
      EXPECT_THAT(error.what(), AllOf(HasSubstr(path), HasSubstr("File too large")));
    }
    EXPECT_EQ(contents(path), before) << "half a line stays";
  }
  sink->epoch(epoch_record(3));
  EXPECT_GT(contents(path).size(), before.size() + 60);
  EXPECT_TRUE(contents(path).starts_with(before));
  EXPECT_EQ(contents(path).find('\n', before.size()), contents(path).size() - 1);
}

TEST_F(MetricsFiles, FullDiskLeavesWholeLines) {
  fill_up(csv(), [&] { return std::make_unique<Csv>(csv()); });
  fill_up(jsonl(), [&] { return std::make_unique<Jsonl>(jsonl()); });
}

TEST(SummaryJson, HoldsEverything) {
  RunSummary summary;
  summary.status = "finished";
  summary.epochs_done = 3;
  summary.steps_done = 300;
  summary.seconds = 12.5;
  summary.startup_seconds = 0.25;
  summary.peak_memory_bytes = 987654321;
  summary.last = epoch_record(3);
  summary.folder = "runs/a";
  const auto json = to_json(summary);
  EXPECT_EQ(json["status"], "finished");
  EXPECT_EQ(json["detail"], "");
  EXPECT_EQ(json["epochs_done"], 3);
  EXPECT_EQ(json["steps_done"], 300);
  EXPECT_EQ(json["seconds"], 12.5);
  EXPECT_EQ(json["startup_seconds"], 0.25);
  EXPECT_EQ(json["peak_memory_bytes"], 987654321);
  EXPECT_EQ(json["last"], to_json(epoch_record(3)));
  EXPECT_TRUE(json["best"].is_null());
  EXPECT_EQ(json["folder"], "runs/a");
}

TEST(DigestsFile, HasARowForEachStepAndMoreAtTheEndOfAnEpoch) {
  const lockstep::testing::TemporaryFolder folder;
  Digests digests(folder.file("digests.csv"));
  digests.digest({.step = 0, .epoch = 1, .weights = 0xabc, .at_epoch_end = {}});
  digests.digest({.step = 1, .epoch = 1, .weights = ~std::uint64_t{0}, .at_epoch_end = {}});
  digests.digest({.step = 2, .epoch = 1, .weights = 2, .at_epoch_end = EpochDigests{3, 4, 5}});
  const std::string epoch =
      "step,epoch,weights,optimizer,samples,metrics\n"
      "0,1,0000000000000abc,,,\n"
      "1,1,ffffffffffffffff,,,\n"
      "2,1,0000000000000002,0000000000000003,0000000000000004,0000000000000005\n";
  EXPECT_EQ(contents(folder.file("digests.csv")), epoch) << "an epoch's rows are written when it ends";
  digests.digest({.step = 3, .epoch = 2, .weights = 6, .at_epoch_end = {}});
  digests.end({});
  EXPECT_EQ(contents(folder.file("digests.csv")), epoch + "3,2,0000000000000006,,,\n");
}

}  // namespace
}  // namespace lockstep::metrics
