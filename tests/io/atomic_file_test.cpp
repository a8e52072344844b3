#include "io/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "io/error_of.h"
#include "io/process_limits.h"
#include "support/temporary_folder.h"

namespace lockstep::io {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::expect_error;
using testing::TemporaryFolder;

std::string contents(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

TEST(AtomicFile, AppearsWholeAtCommitAndNotBefore) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "out.csv";
  AtomicFile file(path);
  file.write("first,");
  file.write("second");
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(file.partial_path().parent_path(), fs::path(path).parent_path());
  EXPECT_TRUE(file.partial_path().filename().string().starts_with("out.csv.partial-"));
  file.commit();
  EXPECT_EQ(contents(path), "first,second");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"out.csv"});
}

TEST(AtomicFile, LeavesTheOldContentsWhenNotCommitted) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "out.csv";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
  }
  EXPECT_EQ(contents(path), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"out.csv"});
  write_file(path, "new");
  EXPECT_EQ(contents(path), "new");
}

TEST(AtomicFile, TwoWritersOfOneNameDoNotShareAPartialFile) {
  const TemporaryFolder folder;
  AtomicFile first(folder.path() / "out");
  AtomicFile second(folder.path() / "out");
  EXPECT_NE(first.partial_path(), second.partial_path());
  first.write("1");
  second.write("22");
  second.commit();
  EXPECT_EQ(contents(folder.path() / "out"), "22");
  first.commit();
  EXPECT_EQ(contents(folder.path() / "out"), "1");
}

TEST(AtomicFile, ReplacesTheFileThatASymbolicLinkPointsTo) {
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "data");
  const fs::path target = folder.path() / "data" / "real.h5";
  const fs::path link = folder.path() / "link.h5";
  write_file(target, "old");
  fs::create_symlink("data/real.h5", link);
  write_file(link, "new");
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(contents(target), "new");
}

TEST(AtomicFile, FollowsTheUmask) {
  const TemporaryFolder folder;
  const mode_t before = ::umask(0027);
  write_file(folder.path() / "out", "x");
  ::umask(before);
  EXPECT_EQ(fs::status(folder.path() / "out").permissions(), fs::perms{0640});
}

TEST(AtomicFile, SaysWhyAFileCannotBeMade) {
  const TemporaryFolder folder;
  write_file(folder.path() / "file", "x");
  fs::create_directory(folder.path() / "folder");
  fs::create_symlink("nowhere", folder.path() / "dangling");
  const auto make = [&](const fs::path& path) { return error_of([&] { write_file(path, "y"); }); };

  expect_error(make(folder.path() / "missing" / "out"), ExitCode::cannot_create,
               {"out", "missing' does not exist"});
  expect_error(make(folder.path() / "file" / "out"), ExitCode::cannot_create,
               {"out", "file' is not a folder"});
  expect_error(make(folder.path() / "folder"), ExitCode::cannot_create, {"it is a folder"});
  expect_error(make(folder.path() / "dangling"), ExitCode::cannot_create, {"symbolic link"});
  expect_error(make("/dev/full"), ExitCode::cannot_create, {"/dev/full", "not a regular file"});
  expect_error(make(folder.path() / std::string(300, 'n')), ExitCode::cannot_create, {"File name too long"});
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"dangling", "file", "folder"}));
}

TEST(AtomicFile, SaysThatAFolderCannotBeWritten) {
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "locked");
  fs::permissions(folder.path() / "locked", fs::perms{0555});
  const Error error = error_of([&] {
    const testing::OrdinaryUser user;
    write_file(folder.path() / "locked" / "out", "x");
  });
  expect_error(error, ExitCode::cannot_create, {"out", "Permission denied"});
}

TEST(AtomicFile, LeavesNothingBehindOnAFullDisk) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "out";
  const Error error = error_of([&] {
    const testing::FileSizeLimit limit(1000);
    write_file(path, std::string(1001, 'x'));
  });
  expect_error(error, ExitCode::io_error, {path.string(), "File too large"});
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(AtomicFile, ReportsADeviceWithoutRoom) {
  const FileDescriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  const std::string text = "some bytes";
  const Error error =
      error_of([&] { write_all(full.get(), std::as_bytes(std::span(text)), "runs/metrics.csv"); });
  expect_error(error, ExitCode::io_error, {"runs/metrics.csv", "No space left on device"});
}

}  // namespace
}  // namespace lockstep::io
