#include "train/compare_environment.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"

namespace lockstep::train {
namespace {

using Json = nlohmann::ordered_json;

Json parsed(const std::string& text, const std::string& name) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) fail(ExitCode::bad_data, "{}: the file is damaged: it is no JSON object", name);
  return json;
}

std::optional<std::string> text_of(const Json* value) {
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  return value->dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* value_in(const Json& object, const std::string& key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? &*found : nullptr;
}

/// The distinct texts that the hosts have under a key, "node1, node2".
Json of_hosts(const Json& environment, const std::string& key) {
  std::set<std::string> texts;
  if (const Json* hosts = value_in(environment, "hosts"); hosts != nullptr && hosts->is_array())
    for (const Json& host : *hosts)
      if (const auto text = text_of(value_in(host, key))) texts.insert(*text);
  return fmt::format("{}", fmt::join(texts, ", "));
}

void compare(const std::string& path, const Json* a, const Json* b, std::vector<SetupDifference>& found) {
  if (a != nullptr && b != nullptr && a->is_object() && b->is_object()) {
    for (const auto& [key, value] : a->items())
      compare(fmt::format("{}.{}", path, key), &value, value_in(*b, key), found);
    for (const auto& [key, value] : b->items())
      if (value_in(*a, key) == nullptr) compare(fmt::format("{}.{}", path, key), nullptr, &value, found);
  } else if (text_of(a) != text_of(b)) {
    found.push_back({path, text_of(a), text_of(b)});
  }
}

}  // namespace

EnvironmentDifferences compare_environments(const std::string& json_a, const std::string& name_a,
                                            const std::string& json_b, const std::string& name_b) {
  const Json a = parsed(json_a, name_a), b = parsed(json_b, name_b);
  EnvironmentDifferences found;
  for (const char* key : {"device", "build", "libraries", "variables"})
    compare(key, value_in(a, key), value_in(b, key), found.arithmetic);
  const auto compare_hosts = [&](const std::string& key, const std::string& shown, auto& into) {
    const Json of_a = of_hosts(a, key), of_b = of_hosts(b, key);
    compare(shown, &of_a, &of_b, into);
  };
  compare_hosts("cpu", "processor", found.arithmetic);
  for (const char* key : {"ranks", "threads", "exchange"})
    compare(key, value_in(a, key), value_in(b, key), found.layout);
  compare_hosts("name", "hosts", found.layout);
  return found;
}

}  // namespace lockstep::train
