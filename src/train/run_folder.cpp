#include "train/run_folder.h"

#include <fmt/chrono.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
#include "io/atomic_file.h"
#include "metrics/json.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

std::string utc_stamp(std::chrono::system_clock::time_point now) {
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
}

/// A name that would lead elsewhere than to a folder right in output.dir.
void check_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    fail(ExitCode::bad_config, "'{}' cannot be the name of a run folder: choose an output.name without '/'",
         name);
}

/// The first part of `path` that exists and is no folder; empty if there is none.
fs::path obstacle(const fs::path& path) {
  fs::path part;
  for (const fs::path& name : path) {
    part /= name;
    std::error_code ignored;
    const fs::file_status status = fs::status(part, ignored);
    if (fs::exists(status) && !fs::is_directory(status)) return part;
  }
  return {};
}

[[noreturn]] void fail_to_make(const fs::path& path, const std::error_code& error) {
  std::string advice = "choose another output.dir";
  if (const fs::path blocking = obstacle(path); !blocking.empty())
    advice = fmt::format("'{}' is not a folder; {}", blocking.string(), advice);
  fail(ExitCode::cannot_create, "cannot make the run folder '{}': {}: {}", path.string(), error.message(),
       advice);
}

/// False if there is something under that name already.
bool make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0777) == 0) return true;
  const std::error_code error(errno, std::generic_category());
  if (error == std::errc::file_exists) return false;
  fail_to_make(path, error);
}

std::string environment_name(std::int64_t global_step) {
  return fmt::format("environment-{:012}.json", global_step);
}

/// The inverse; 0 for other names.
std::int64_t step_of_environment(const std::string& name) {
  std::int64_t step = 0;
  const std::size_t digits = std::min(name.find_first_of("0123456789"), name.size());
  std::from_chars(name.data() + digits, name.data() + name.size(), step);
  return environment_name(step) == name ? step : 0;
}

}  // namespace

RunFolder RunFolder::make(const config::Output& output, const std::string& experiment,
                          std::chrono::system_clock::time_point now) {
  const std::string name =
      output.name.empty() ? fmt::format("{}-{}", experiment, utc_stamp(now)) : output.name;
  check_name(name);
  const fs::path parent = output.dir.empty() ? "." : output.dir;
  std::error_code error;
  fs::create_directories(parent, error);
  if (error) fail_to_make(parent / name, error);

  if (make_folder(parent / name)) return RunFolder(parent / name);
  if (!output.name.empty())
    fail(ExitCode::cannot_create,
         "the run folder '{}' exists already, and no run is ever overwritten: choose another output.name, or "
         "leave it out",
         (parent / name).string());
  for (int number = 2;; ++number)
    if (const fs::path path = parent / fmt::format("{}-{}", name, number); make_folder(path))
      return RunFolder(path);
}

void RunFolder::remove() const noexcept {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void RunFolder::remove_partial_files() const {
  std::error_code error;
  for (fs::directory_iterator file(path_, error); !error && file != fs::directory_iterator();
       file.increment(error))
    if (file->path().filename().string().find(io::partial_marker) != std::string::npos)
      fs::remove(file->path(), error);
  if (error) fail(ExitCode::io_error, "cannot tidy '{}': {}", path(), error.message());
}

void RunFolder::write_experiment(std::string_view yaml) const {
  io::write_file(experiment(), yaml);
}

std::map<std::int64_t, std::string> RunFolder::environments() const {
  std::map<std::int64_t, std::string> found{{0, environment()}};
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(path_, none))
    if (const std::int64_t step = step_of_environment(entry.path().filename().string()); step > 0)
      found.emplace(step, entry.path().string());
  return found;
}

void RunFolder::write_environment(std::string_view json, std::int64_t global_step) const {
  for (const auto& [step, path] : environments()) {
    std::error_code error;
    if (step > global_step) fs::rename(path, path + ".unused", error);
    if (error) fail(ExitCode::io_error, "cannot rename '{}': {}", path, error.message());
  }
  io::write_file(global_step > 0 ? path_ / environment_name(global_step) : fs::path(environment()), json);
}

void RunFolder::remove_summary() const {
  std::error_code error;
  if (!fs::remove(summary(), error) && error)
    fail(ExitCode::io_error, "cannot remove '{}': {}", summary(), error.message());
}

void RunFolder::write_summary(const metrics::RunSummary& summary) const {
  // Paths may hold bytes that are not UTF-8, which JSON cannot.
  constexpr int indent = 2;
  using Json = nlohmann::ordered_json;
  io::write_file(this->summary(),
                 metrics::to_json(summary).dump(indent, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace lockstep::train
