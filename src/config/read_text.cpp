#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include "base/error.h"
#include "config/parse.h"

namespace lockstep::config {
namespace {

/// An experiment takes a page; a data file given by mistake should not be read to its end.
constexpr std::size_t largest = 4 << 20;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

[[noreturn]] void cannot_read(const std::string& path, int error) {
  std::error_code ignored;
  if (std::filesystem::exists(path + "/experiment.yaml", ignored))
    fail(ExitCode::no_input,
         "{0} is the folder of a run: its experiment is {0}/experiment.yaml, and lockstep resume {0} goes on "
         "with it",
         path);
  if (std::filesystem::is_directory(path, ignored))
    fail(ExitCode::no_input, "{} is a folder, not an experiment file", path);
  fail(ExitCode::no_input, "{}: cannot read the experiment: {}", path,
       std::generic_category().message(error));
}

}  // namespace

std::string read_text(const std::string& path) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  if (!file) cannot_read(path, errno);
  std::string text;
  std::string block(64 << 10, '\0');
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), file.get())) {
    text.append(block, 0, count);
    if (text.size() > largest)
      fail(ExitCode::bad_config, "{}: more than {} MiB, this is no experiment file", path, largest >> 20);
  }
  // A folder opens well and fails here.
  if (std::ferror(file.get()) != 0) cannot_read(path, errno);
  return text;
}

}  // namespace lockstep::config
