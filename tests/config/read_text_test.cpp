#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "config/parse.h"
#include "support/temporary_folder.h"

namespace lockstep::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Exit code and message of a read that must fail.
std::pair<ExitCode, std::string> failure_of(const std::string& path) {
  try {
    read_text(path);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << path << " was read";
  return {};
}

TEST(read_text, returns_every_byte) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("e.yaml");
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += static_cast<char>(i * 7);
  std::ofstream(path, std::ios::binary) << text;
  EXPECT_EQ(read_text(path), text);
}

TEST(read_text, missing_file_is_no_input) {
  const testing::TemporaryFolder folder;
  const auto [code, message] = failure_of(folder.file("none.yaml"));
  EXPECT_EQ(code, ExitCode::no_input);
  EXPECT_THAT(message, AllOf(StartsWith(folder.file("none.yaml") + ": "), HasSubstr("No such file")));
}

TEST(read_text, folder_is_no_input) {
  const testing::TemporaryFolder folder;
  const auto [code, message] = failure_of(folder.path().string());
  EXPECT_EQ(code, ExitCode::no_input);
  EXPECT_THAT(message, AllOf(StartsWith(folder.path().string() + " is a folder"),
                             HasSubstr("not an experiment file")));
}

TEST(read_text, path_through_a_file_is_no_input) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder.file("file")) << "x";
  const auto [code, message] = failure_of(folder.file("file/e.yaml"));
  EXPECT_EQ(code, ExitCode::no_input);
  EXPECT_THAT(message, HasSubstr("Not a directory"));
}

/// Unreadable for root as well.
TEST(read_text, loop_of_links_is_no_input) {
  const testing::TemporaryFolder folder;
  std::filesystem::create_symlink(folder.file("b"), folder.file("a"));
  std::filesystem::create_symlink(folder.file("a"), folder.file("b"));
  EXPECT_EQ(failure_of(folder.file("a")).first, ExitCode::no_input);
}

TEST(read_text, data_file_given_by_mistake_is_not_read_to_its_end) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("data.h5");
  std::ofstream(path) << "x";
  std::filesystem::resize_file(path, std::uintmax_t{1} << 30);
  const auto [code, message] = failure_of(path);
  EXPECT_EQ(code, ExitCode::bad_config);
  EXPECT_THAT(message, HasSubstr("more than 4 MiB"));
}

}  // namespace
}  // namespace lockstep::config
