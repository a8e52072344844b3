#include "train/environment.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "train/build_info.h"
#include "train/library_versions.h"

namespace lockstep::train {
namespace {

using Json = nlohmann::ordered_json;

/// Hosts in the order of their first rank, each with its ranks.
Json hosts_json(const std::vector<Machine>& machines) {
  Json hosts = Json::array();
  for (std::size_t rank = 0; rank < machines.size(); ++rank) {
    const Machine& machine = machines[rank];
    const auto known =
        std::ranges::find_if(hosts, [&](const Json& host) { return host["name"] == machine.host; });
    if (known != hosts.end()) {
      (*known)["ranks"].push_back(rank);
      continue;
    }
    hosts.push_back({{"name", machine.host},
                     {"ranks", Json::array({rank})},
                     {"cpu", machine.cpu},
                     {"cores", machine.cores},
                     {"memory_bytes", machine.memory_bytes},
                     {"system", machine.system},
                     {"kernel", machine.kernel}});
  }
  return hosts;
}

Json build_json() {
  const BuildInfo& info = build_info();
  return {{"version", info.version},   {"revision", info.revision}, {"modified", info.modified},
          {"compiler", info.compiler}, {"flags", info.flags},       {"type", info.build_type}};
}

Json libraries_json() {
  Json libraries = Json::object();
  for (const auto& [name, version] : library_versions()) libraries[name] = version;
  return libraries;
}

/// Those that libraries read, and no others: an environment may hold secrets.
Json variables_json() {
  constexpr std::array<std::string_view, 8> prefixes{
      "OMP_",         "ONEDNN_",      "DNNL_",        "HDF5_", "LOCKSTEP_COLLECTIVE",
      "OMPI_MCA_btl", "OMPI_MCA_pml", "OMPI_MCA_coll"};
  std::map<std::string, std::string> found;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos &&
        std::ranges::any_of(prefixes, [&](std::string_view prefix) { return text.starts_with(prefix); }))
      found.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

}  // namespace

std::string environment_json(const Environment& environment) {
  check(environment.machines.size() == environment.threads.size(), "each rank has a machine and threads");
  const std::time_t started = std::chrono::system_clock::to_time_t(environment.started);
  const Json json{{"command_line", environment.command_line},
                  {"working_directory", environment.working_directory},
                  {"started", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(started))},
                  {"ranks", environment.machines.size()},
                  {"threads", environment.threads},
                  {"device", environment.device},
                  {"gpus", environment.gpus},
                  {"instruction_set", environment.instruction_set},
                  {"algorithms", environment.algorithms},
                  {"arithmetic", fmt::format("{:016x}", environment.arithmetic)},
                  {"data", environment.data},
                  {"exchange", environment.exchange},
                  {"hosts", hosts_json(environment.machines)},
                  {"build", build_json()},
                  {"libraries", libraries_json()},
                  {"variables", variables_json()}};
  // Texts that come from elsewhere need not be UTF-8, which JSON is.
  constexpr int indent = 2;
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep::train
