#include "cli/version.h"

#include <fmt/format.h>

#include "train/build_info.h"
#include "train/library_versions.h"

namespace lockstep::cli {

std::string version_text() {
  const train::BuildInfo& build = train::build_info();
  std::string text =
      fmt::format("lockstep {}\nrevision {}{}\nbuilt with {}, {}, {}\n", build.version, build.revision,
                  build.modified ? " (modified)" : "", build.compiler, build.build_type, build.flags);
  for (const auto& library : train::library_versions())
    text += fmt::format("{} {}\n", library.name, library.version);
  text.pop_back();
  return text;
}

}  // namespace lockstep::cli
