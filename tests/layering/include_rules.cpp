#include "layering/include_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <sstream>

namespace lockstep::layering {
namespace {

/// The levels of src/. A folder uses lower levels only, so folders on one level never know each other.
/// main.cpp stands with cli/.
const std::map<std::string, int, std::less<>> levels = {
    {"base", 0}, {"tensor", 1}, {"config", 1},  {"device", 2},     {"io", 2},    {"nn", 3},  {"data", 3},
    {"comm", 3}, {"optim", 3},  {"metrics", 3}, {"checkpoint", 3}, {"train", 4}, {"cli", 5},
};

/// A library that only some folders may know: the others go through what these offer. The first that fits
/// decides.
struct WrappedLibrary {
  std::string_view prefix;  ///< of the path that is included
  std::vector<std::string> folders;
};
const std::vector<WrappedLibrary> wrapped_libraries = {
    {"mpi.h", {"comm"}},
    {"nccl", {"comm"}},
    {"dnnl", {"device"}},
    {"oneapi/dnnl", {"device"}},
    {"hwy/", {"device"}},
    {"cudnn", {"device"}},
    {"cublas", {"device"}},
    {"cuda", {"device", "comm"}},
    {"hdf5", {"io"}},
    {"H5", {"io"}},
    {"zlib.h", {"io"}},
    {"yaml-cpp/", {"config"}},
    {"CLI/Version.hpp", {"cli", "train"}},
    {"CLI/", {"cli"}},
};

struct Include {
  std::string path;
  bool quoted = false;
};

std::optional<Include> parse_include(std::string_view line) {
  const auto skip_blanks = [&line] {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  };
  skip_blanks();
  if (!line.starts_with('#')) return std::nullopt;
  line.remove_prefix(1);
  skip_blanks();
  if (!line.starts_with("include")) return std::nullopt;
  line.remove_prefix(std::string_view("include").size());
  skip_blanks();
  if (!line.starts_with('"') && !line.starts_with('<')) return std::nullopt;
  const bool quoted = line.front() == '"';
  line.remove_prefix(1);
  return Include{std::string(line.substr(0, line.find(quoted ? '"' : '>'))), quoted};
}

/// The first folder of a path, "cli" for a file of src/ itself.
std::string folder_of(std::string_view path) {
  const auto slash = path.find('/');
  return slash == std::string_view::npos ? "cli" : std::string(path.substr(0, slash));
}

/// Why `folder` may not include this, empty if it may.
std::string objection(const std::string& folder, const Include& include) {
  if (include.quoted) {
    const std::string other = folder_of(include.path);
    if (include.path.find('/') == std::string::npos || !levels.contains(other))
      return fmt::format("\"{}\" is no path below src/: write \"folder/file.h\", and <…> for libraries",
                         include.path);
    if (other != folder && levels.at(other) >= levels.at(folder))
      return fmt::format(
          "{}/ (level {}) may not include \"{}\" (level {}): only its own folder and lower levels", folder,
          levels.at(folder), include.path, levels.at(other));
    return "";
  }
  const auto library = std::ranges::find_if(
      wrapped_libraries, [&](const WrappedLibrary& known) { return include.path.starts_with(known.prefix); });
  if (library == wrapped_libraries.end() ||
      std::ranges::find(library->folders, folder) != library->folders.end())
    return "";
  return fmt::format("{}/ may not include <{}>: only {}/ may, use what is offered there", folder,
                     include.path, fmt::join(library->folders, "/ and "));
}

}  // namespace

std::vector<std::string> broken_include_rules(const std::string& path, std::string_view text) {
  const std::string folder = folder_of(path);
  if (!levels.contains(folder))
    return {fmt::format("src/{}:1: the folder {}/ has no level in {}", path, folder, __FILE__)};
  std::vector<std::string> broken;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto include = parse_include(line);
    if (!include) continue;
    const std::string reason = objection(folder, *include);
    if (!reason.empty()) broken.push_back(fmt::format("src/{}:{}: {}", path, number, reason));
  }
  return broken;
}

}  // namespace lockstep::layering
