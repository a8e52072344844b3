#include "train/compare_environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"

namespace lockstep::train {
namespace {

using Json = nlohmann::ordered_json;

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

/// An environment, with what its hosts have in common with those of others in place of all about them.
Json parsed(const Session& session) {
  Json json = Json::parse(session.environment, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    fail(ExitCode::bad_data, "{}: the file is damaged: it is no JSON object", session.file);
  json["processor"] = of_hosts(json, "cpu");
  json["hosts"] = of_hosts(json, "name");
  return json;
}

/// A value through the sessions of a run, each with its first step; null where a session does not say it.
using Course = std::vector<std::pair<std::int64_t, const Json*>>;

Course member_of(const Course& objects, const std::string& key) {
  Course members;
  for (const auto& [step, object] : objects)
    members.emplace_back(step, object == nullptr ? nullptr : value_in(*object, key));
  return members;
}

/// "3, from step 801 on 2"; nothing when it is never said.
std::optional<std::string> text_of(const Course& course) {
  std::optional<std::string> text, last;
  for (const auto& [step, value] : course) {
    const auto next = text_of(value);
    if (step == course.front().first)
      text = next;
    else if (next != last)
      text = fmt::format("{}, from step {} on {}", text.value_or("-"), step, next.value_or("-"));
    last = next;
  }
  return text;
}

/// The keys of all that are objects, in their order; none when there is anything else.
std::vector<std::string> keys_of(const Course& a, const Course& b) {
  std::vector<std::string> keys;
  for (const Course* course : {&a, &b})
    for (const auto& [step, value] : *course) {
      if (value == nullptr) continue;
      if (!value->is_object()) return {};
      for (const auto& [key, inner] : value->items())
        if (std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
    }
  return keys;
}

void compare(const std::string& path, const Course& a, const Course& b, std::vector<SetupDifference>& found) {
  const std::vector<std::string> keys = keys_of(a, b);
  for (const std::string& key : keys)
    compare(fmt::format("{}.{}", path, key), member_of(a, key), member_of(b, key), found);
  if (keys.empty() && text_of(a) != text_of(b)) found.push_back({path, text_of(a), text_of(b)});
}

}  // namespace

EnvironmentDifferences compare_environments(std::span<const Session> a, std::span<const Session> b) {
  std::deque<Json> environments;  // pointers into it stay
  const auto course_of = [&](std::span<const Session> sessions) {
    Course course;
    for (const Session& session : sessions)
      course.emplace_back(session.after + 1, &environments.emplace_back(parsed(session)));
    return course;
  };
  const Course of_a = course_of(a), of_b = course_of(b);
  EnvironmentDifferences found;
  for (const char* key :
       {"data", "device", "instruction_set", "arithmetic", "build", "libraries", "variables", "processor"})
    compare(key, member_of(of_a, key), member_of(of_b, key), found.arithmetic);
  for (const char* key : {"ranks", "threads", "exchange", "hosts"})
    compare(key, member_of(of_a, key), member_of(of_b, key), found.layout);
  return found;
}

}  // namespace lockstep::train
