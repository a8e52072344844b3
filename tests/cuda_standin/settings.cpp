#include "settings.h"

#include <charconv>
#include <cstdlib>
#include <map>

#include "runtime.h"

namespace lockstep::standin {
namespace {

struct Source {
  Settings settings;
  std::map<std::string, std::string, std::less<>> values;
};

std::int64_t number(std::string_view key, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) {
    violation("LOCKSTEP_STANDIN: " + std::string(key) + " must be a number, found '" + std::string(text) +
              "'");
  }
  return value;
}

Fault fault(std::string_view key, std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    violation("LOCKSTEP_STANDIN: " + std::string(key) + " needs CALL:NUMBER");
  return {std::string(text.substr(0, colon)), number(key, text.substr(colon + 1))};
}

/// Faults are for one rank of a job if the key `rank` says so.
bool faults_are_for_others(const Source& source) {
  const auto wanted = source.values.find("rank");
  const char* own = std::getenv("OMPI_COMM_WORLD_RANK");
  return wanted != source.values.end() && own != nullptr && wanted->second != own;
}

void take(Source& source, std::string_view key, std::string_view value) {
  source.values[std::string(key)] = value;
  Settings& settings = source.settings;
  if (key == "seed") {
    settings.seed = static_cast<std::uint64_t>(number(key, value));
  } else if (key == "devices") {
    settings.devices = static_cast<int>(number(key, value));
  } else if (key == "memory_mb") {
    settings.memory_mb = number(key, value);
  } else if (key == "driver") {
    settings.driver = value;
  } else if (key == "one_board") {
    settings.one_board = number(key, value) != 0;
  } else if (key == "hopper") {
    settings.hopper = number(key, value) != 0;
  } else if (key == "guards") {
    settings.guards = number(key, value) != 0;
  } else if (key == "leaks") {
    settings.leaks = number(key, value) != 0;
  } else if (key == "fail") {
    settings.fail.push_back(fault(key, value));
  } else if (key == "hang") {
    settings.hang.push_back(fault(key, value));
  } else if (key == "stall") {
    settings.stall.push_back(fault(key, value));
  } else if (key != "rank" && key != "cudnn_model") {
    violation("LOCKSTEP_STANDIN: unknown key '" + std::string(key) + "'");
  }
}

Source parse(std::string_view text) {
  Source source;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const auto equals = item.find('=');
    if (equals == std::string_view::npos) {
      violation("LOCKSTEP_STANDIN: '" + std::string(item) + "' is not KEY=VALUE");
    }
    take(source, item.substr(0, equals), item.substr(equals + 1));
  }
  if (faults_are_for_others(source)) {
    source.settings.fail.clear();
    source.settings.hang.clear();
    source.settings.stall.clear();
  }
  return source;
}

// Never destroyed: what is destroyed at the end of the process may still call the stand-in.
Source& source() {
  static Source* const instance = [] {
    const char* text = std::getenv("LOCKSTEP_STANDIN");
    return new Source(parse(text == nullptr ? "" : text));
  }();
  return *instance;
}

}  // namespace

const Settings& settings() {
  return source().settings;
}

void set_settings(std::string_view text) {
  source() = parse(text);
}

std::string setting(std::string_view key) {
  const auto& values = source().values;
  const auto found = values.find(key);
  return found == values.end() ? std::string() : found->second;
}

}  // namespace lockstep::standin
