#include "train/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "config/instruction_set.h"
#include "train/run_json.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_alphanumeric_or(char letter, std::string_view others) {
  const auto in = [letter](char first, char last) { return first <= letter && letter <= last; };
  return in('a', 'z') || in('A', 'Z') || in('0', '9') || others.find(letter) != std::string_view::npos;
}

/// Of the run's name, what output.name takes, with room for an ending.
std::string base_name(const fs::path& folder) {
  constexpr std::size_t longest = 80;
  std::string name = fs::absolute(folder / "").lexically_normal().parent_path().filename().string();
  std::ranges::replace_if(name, [](char letter) { return !is_alphanumeric_or(letter, "_-."); }, '_');
  if (name.empty() || name.front() == '-' || name.front() == '.') name.insert(0, "run");
  return name.substr(0, longest);
}

fs::path parent_of(const fs::path& folder) {
  const fs::path parent = (folder / "..").lexically_normal();
  const std::string text = parent.string();
  return text.size() > 1 && text.ends_with('/') ? fs::path(text.substr(0, text.size() - 1)) : parent;
}

std::string free_name(const fs::path& parent, const std::string& name) {
  std::string found = name + "-replay";
  for (int number = 2; is_there(parent / found); ++number) found = fmt::format("{}-replay-{}", name, number);
  return found;
}

/// " key=value", for a shell.
std::string override_text(std::string_view key, const std::string& value) {
  return fmt::format(" {}",
                     shell_word(fmt::format("{}={}", key, config::emit_inline(config::scalar_node(value)))));
}

/// Where a data file is that is no longer reached by its name: beside the directory in which the run was
/// started, or last went on.
std::string data_override(const ComparedRun& run, const char* split) {
  const auto file = run.setting({"data", split, "file"});
  const auto directory = json_value(run.sessions.back().environment, "working_directory");
  if (!file || !directory || is_there(*file) || !is_there(fs::path(*directory) / *file)) return "";
  return override_text(fmt::format("data.{}.file", split), (fs::path(*directory) / *file).string());
}

/// The instruction set of a session where the experiment has `auto`, or what a later session was given.
std::string instruction_set_override(const ComparedRun& run, const Session& session) {
  const auto setting = run.setting({"device", "instruction_set"});
  const auto recorded = json_value(session.environment, "instruction_set");
  const auto is_recorded = [&](const auto& entry) { return entry.second == recorded; };
  if (!setting || setting == recorded || std::ranges::none_of(config::instruction_set_names, is_recorded))
    return "";
  return override_text("device.instruction_set", *recorded);
}

/// What a session computed on, where the experiment, which is of the run's end, says otherwise. Recorded is
/// "cpu (instruction set)" or "cuda (name, architecture, precision)".
std::string device_override(const ComparedRun& run, const Session& session) {
  const std::string recorded = json_value(session.environment, "device").value_or("");
  const std::size_t comma = recorded.rfind(", ");
  const bool on_cpu = recorded.starts_with("cpu");
  if (!on_cpu && (comma == std::string::npos || !recorded.ends_with(')'))) return "";
  const std::string precision = on_cpu ? "fp32" : recorded.substr(comma + 2, recorded.size() - comma - 3);
  std::string text;
  for (const auto& [key, value] :
       {std::pair<const char*, std::string>{"kind", on_cpu ? "cpu" : "cuda"}, {"precision", precision}})
    if (const auto setting = run.setting({"device", key}); setting && *setting != value)
      text += override_text(fmt::format("device.{}", key), value);
  return text;
}

}  // namespace

std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && std::ranges::all_of(word, [](char letter) {
    return is_alphanumeric_or(letter, "_-./=:,+@%");
  });
  if (plain) return word;
  std::string quoted = "'";
  for (const char letter : word) quoted += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return quoted + "'";
}

Replay replay_of(const ComparedRun& run, const std::string& program, const std::string& checkpoint,
                 std::int64_t until) {
  const fs::path parent = parent_of(run.folder.path());
  const std::string name = free_name(parent, base_name(run.folder.path()));
  const Session& session = run.sessions_through(until).back();
  const std::string ranks = json_value(session.environment, "ranks").value_or("1");
  std::string command = ranks == "1" ? "" : fmt::format("mpirun -n {} ", shell_word(ranks));
  command += fmt::format("{} train {}", shell_word(program), shell_word(run.folder.experiment()));
  if (!checkpoint.empty()) command += fmt::format(" --from {}", shell_word(checkpoint));
  command += fmt::format(" --until {}", until);
  if (const config::Entry* faults = run.experiment.find("faults");
      faults != nullptr && !faults->value.items.empty())
    command += " --allow-faults";
  if (run.setting({"output", "dir"}) != parent.string())
    command += override_text("output.dir", parent.string());
  command += override_text("output.name", name) + " digests.every=1";
  command += device_override(run, session) + instruction_set_override(run, session);
  command += data_override(run, "train") + data_override(run, "validation");
  return {.folder = (parent / name).string(), .command = command};
}

}  // namespace lockstep::train
