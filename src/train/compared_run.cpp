#include "train/compared_run.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/error.h"
#include "checkpoint/weights_file.h"
#include "train/compare_settings.h"
#include "train/digest_file.h"
#include "train/run_json.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) fail(ExitCode::no_input, "{}: cannot read it: {}", path, std::generic_category().message(errno));
  return text;
}

std::string status_of(const RunFolder& folder) {
  if (!exists(folder.summary())) return "";
  const auto status = json_value(text_of_file(folder.summary()), "status");
  if (!status)
    fail(ExitCode::bad_data, "{}: the file is damaged: it does not say how the run ended", folder.summary());
  return *status;
}

std::vector<Session> sessions_of(const RunFolder& folder) {
  std::vector<Session> sessions;
  for (const auto& [step, file] : folder.environments())
    sessions.push_back({.after = step, .environment = text_of_file(file), .file = file});
  return sessions;
}

}  // namespace

std::optional<std::string> ComparedRun::setting(std::initializer_list<const char*> keys) const {
  const config::Node* node = &experiment;
  for (const char* key : keys) {
    const config::Entry* entry = node->find(key);
    if (entry == nullptr) return std::nullopt;
    node = &entry->value;
  }
  return node->kind == config::Node::Kind::scalar ? std::optional(node->text) : std::nullopt;
}

std::span<const Session> ComparedRun::sessions_through(std::int64_t step) const {
  const auto later = std::find_if(sessions.begin() + 1, sessions.end(),
                                  [step](const Session& session) { return session.after >= step; });
  return {sessions.begin(), later};
}

ComparedRun read_run(const std::string& path) {
  const RunFolder folder(path);
  std::error_code ignored;
  if (!fs::is_directory(path, ignored) || !exists(folder.experiment()))
    fail(ExitCode::no_input, "{} is not the folder of a run: give one such as runs/NAME", path);
  return {.folder = folder,
          .status = status_of(folder),
          .experiment = parse_experiment(text_of_file(folder.experiment()), folder.experiment()),
          .sessions = sessions_of(folder),
          .digests = read_digests(folder.digests())};
}

std::vector<CommonFiles> common_checkpoints(const ComparedRun& a, const ComparedRun& b) {
  const auto of_a = checkpoint::Store(a.folder.checkpoints()).list();
  const auto of_b = checkpoint::Store(b.folder.checkpoints()).list();
  std::vector<CommonFiles> common;
  for (const auto& entry : of_a) {
    const auto other = std::ranges::find(of_b, entry.global_step, &checkpoint::Store::Entry::global_step);
    if (other != of_b.end()) common.push_back({entry.global_step, entry.path.string(), other->path.string()});
  }
  std::ranges::sort(common, {}, &CommonFiles::step);
  return common;
}

std::optional<CommonFiles> common_weights(const ComparedRun& a, const ComparedRun& b) {
  const std::string file_a = a.folder.final_weights(), file_b = b.folder.final_weights();
  if (!exists(file_a) || !exists(file_b)) return std::nullopt;
  const std::int64_t step = checkpoint::read_weights_info(file_a).step;
  if (step != checkpoint::read_weights_info(file_b).step) return std::nullopt;
  return CommonFiles{step, file_a, file_b};
}

}  // namespace lockstep::train
