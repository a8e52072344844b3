#include "train/run_json.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace lockstep::train {

std::optional<std::string> json_value(const std::string& json, const char* key) {
  const auto object = nlohmann::ordered_json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains(key)) return std::nullopt;
  return object[key].is_string() ? object[key].get<std::string>() : object[key].dump();
}

std::optional<std::string> json_value_of_file(const std::string& path, const char* key) {
  std::ifstream file(path, std::ios::binary);
  return json_value({std::istreambuf_iterator<char>(file), {}}, key);
}

}  // namespace lockstep::train
