#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "config/problems.h"

namespace lockstep::config {

/// Where each part of an experiment was said, by dotted path ("optimizer.sgd.momentum", "model.2.padding"),
/// and which parts have a problem of their own, so that checks across keys report nothing twice.
class Provenance {
 public:
  void said_at(const std::string& path, const Place& place) { places_[path] = place; }
  void mark_faulty(const std::string& path) { faulty_.insert(path); }

  /// Of the part, or of the nearest part around it that the file has.
  [[nodiscard]] Place place_of(std::string_view path) const {
    for (std::string at(path); !at.empty(); at = parent(at))
      if (const auto found = places_.find(at); found != places_.end()) return found->second;
    return {};
  }
  /// Neither the part nor anything around it has a problem.
  [[nodiscard]] bool is_sound(std::string_view path) const {
    for (std::string at(path); !at.empty(); at = parent(at))
      if (faulty_.contains(at)) return false;
    return !faulty_.contains({});
  }

 private:
  static std::string parent(const std::string& path) {
    const std::size_t dot = path.rfind('.');
    return dot == std::string::npos ? std::string() : path.substr(0, dot);
  }

  std::map<std::string, Place> places_;
  std::set<std::string> faulty_;
};

}  // namespace lockstep::config
