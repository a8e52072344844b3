#include "checkpoint/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "io/atomic_file.h"

namespace lockstep::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "step-";
constexpr std::string_view suffix = ".h5";
constexpr std::string_view digits = "0123456789";

std::string name_of(std::int64_t global_step) {
  return fmt::format("{}{:012}{}", prefix, global_step, suffix);
}

/// The step of a file with exactly the name that path_of gives it.
std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  const char* const end = name.data() + name.size() - suffix.size();
  std::int64_t step = 0;
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, step);
  if (error != std::errc() || stop != end || step < 0 || name_of(step) != name) return std::nullopt;
  return step;
}

/// Whether io::AtomicFile made it for one of our files: "step-000000000010.h5.partial-<pid>[-<attempt>]".
bool is_partial(std::string_view name) {
  constexpr std::string_view marker = ".partial-";
  const std::size_t found = name.find(marker);
  if (found == std::string_view::npos || !step_of(name.substr(0, found))) return false;
  const auto take_number = [](std::string_view& text) {
    const std::size_t length = std::min(text.find_first_not_of(digits), text.size());
    text.remove_prefix(length);
    return length > 0;
  };
  std::string_view rest = name.substr(found + marker.size());
  if (!take_number(rest)) return false;
  if (rest.empty()) return true;
  if (rest.front() != '-') return false;
  rest.remove_prefix(1);
  return take_number(rest) && rest.empty();
}

/// Names of the regular files of a folder; none when it does not exist.
std::vector<std::string> files_of(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator file(folder, error);
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && file != fs::directory_iterator(); file.increment(error)) {
    std::error_code vanished;
    if (file->is_regular_file(vanished)) names.push_back(file->path().filename().string());
  }
  if (error) fail(ExitCode::no_input, "cannot read the folder '{}': {}", folder.string(), error.message());
  return names;
}

void delete_file(const fs::path& path) {
  std::error_code error;
  if (!fs::remove(path, error) && error)
    fail(ExitCode::io_error, "cannot delete '{}': {}", path.string(), error.message());
}

/// What is wrong with a checkpoint, as `read` finds it; nothing when it can be used.
template <class Read>
std::optional<std::string> problem(Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    if (error.code() != ExitCode::bad_data && error.code() != ExitCode::no_input) throw;
    return error.what();
  }
  return std::nullopt;
}

/// The step of the checkpoint with the highest accuracy. Those that cannot be read do not count.
std::optional<std::int64_t> best_of(const std::vector<Store::Entry>& newest_first) {
  std::optional<std::int64_t> best;
  double best_accuracy = 0;
  for (const Store::Entry& entry : newest_first) {
    std::optional<double> accuracy;
    if (problem([&] { accuracy = read_snapshot_header(entry.path.string()).val_accuracy; })) continue;
    if (!accuracy || std::isnan(*accuracy) || (best && *accuracy < best_accuracy)) continue;
    best = entry.global_step;
    best_accuracy = *accuracy;
  }
  return best;
}

}  // namespace

Store::Store(fs::path folder) : folder_(std::move(folder)) {}

fs::path Store::path_of(std::int64_t global_step) const {
  return folder_ / name_of(global_step);
}

std::vector<Store::Entry> Store::list() const {
  std::vector<Entry> entries;
  for (const std::string& name : files_of(folder_))
    if (const auto step = step_of(name)) entries.push_back({*step, folder_ / name});
  std::ranges::sort(entries, std::ranges::greater(), &Entry::global_step);
  return entries;
}

void Store::prepare() const {
  std::error_code error;
  if (fs::create_directories(folder_, error)) io::sync(fs::absolute(folder_).parent_path());
  if (error)
    fail(ExitCode::cannot_create, "cannot create the folder '{}': {}", folder_.string(), error.message());
  for (const std::string& name : files_of(folder_))
    if (is_partial(name)) delete_file(folder_ / name);
}

fs::path Store::save(const Parameters& parameters, const Snapshot& snapshot) const {
  fs::path path = path_of(snapshot.global_step);
  write_snapshot(path.string(), parameters, snapshot);
  return path;
}

void Store::prune(std::int64_t keep, bool keep_best) const {
  check(keep >= 1, "at least one checkpoint is kept");
  const std::vector<Entry> entries = list();
  if (entries.size() <= static_cast<std::size_t>(keep)) return;
  std::set<std::int64_t> kept;
  for (std::size_t i = 0; i < static_cast<std::size_t>(keep); ++i) kept.insert(entries[i].global_step);
  for (const Entry& entry : entries)
    if (!problem([&] { verify_snapshot(entry.path.string()); })) {
      kept.insert(entry.global_step);
      break;
    }
  if (keep_best)
    if (const auto best = best_of(entries)) kept.insert(*best);
  // Oldest first: whenever the process is killed, the newest are there.
  std::vector<Entry> doomed = entries;
  std::erase_if(doomed, [&](const Entry& entry) { return kept.contains(entry.global_step); });
  std::ranges::reverse(doomed);
  for (const Entry& entry : doomed) delete_file(entry.path);
}

std::optional<Store::Found> Store::newest_readable(const Parameters& parameters, const Check& check,
                                                   const Report& report) const {
  const std::vector<Entry> entries = list();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    Found found{.entry = entries[i], .snapshot = {}};
    const auto wrong = problem([&] {
      found.snapshot = read_snapshot(found.entry.path.string(), parameters);
      check(found.snapshot, found.entry.path.string());
    });
    if (!wrong) return found;
    const bool last = i + 1 == entries.size();
    report(fmt::format("{}; {}", *wrong,
                       last ? "there is no checkpoint before it" : "taking the checkpoint before it"));
  }
  return std::nullopt;
}

void Store::set_aside_after(std::int64_t global_step) const {
  for (const Entry& entry : list()) {
    if (entry.global_step <= global_step) continue;
    std::error_code error;
    fs::rename(entry.path, entry.path.string() + ".unused", error);
    if (error) fail(ExitCode::io_error, "cannot rename '{}': {}", entry.path.string(), error.message());
  }
}

}  // namespace lockstep::checkpoint
