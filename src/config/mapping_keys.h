#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/problems.h"
#include "config/provenance.h"
#include "config/yaml_tree.h"

namespace lockstep::config {

/// What all readers of one experiment share.
struct Reading {
  Problems& problems;
  Provenance provenance;

  /// A problem with what `path` leads to.
  void report(const std::string& path, const Place& place, std::string message) {
    problems.add(place, std::move(message));
    provenance.mark_faulty(path);
  }
};

/// Keeps account of one mapping's keys: which were asked for, which are missing, which nobody knows.
class MappingKeys {
 public:
  /// `path` leads to the mapping; empty: it is the whole file. The references must outlive this.
  MappingKeys(Reading& reading, const Node& mapping, std::string path)
      : reading_(reading), mapping_(mapping), path_(std::move(path)) {}

  [[nodiscard]] Reading& reading() const { return reading_; }
  [[nodiscard]] std::string path_of(std::string_view key) const;

  /// The entry, if the mapping has one.
  [[nodiscard]] const Entry* find(std::string_view key) const { return mapping_.find(key); }
  /// The same; from now on the key counts as known.
  const Entry* take(std::string_view key);
  /// The key is not there and should be; `expectation`, if any, says what it takes.
  void lacks(std::string_view key, std::string_view expectation);
  /// None of the alternatives of a variant, all known by now, is there.
  void lacks_alternative() { lacks_alternative_ = true; }
  /// Two alternatives of a variant are there.
  void refuse_second(const Entry& chosen, const Entry& other, std::string_view noun);

  /// To be called once all keys are known: reports missing and unknown ones. `noun` says what a key of this
  /// mapping is: "key", or "optimizer" where all are alternatives.
  void finish(std::string_view noun);

 private:
  struct Missing {
    std::string_view key;
    std::string expectation;
  };

  void report_unknown(const Entry& entry, std::string_view noun);

  Reading& reading_;
  const Node& mapping_;
  std::string path_;
  std::vector<std::string_view> known_;
  std::vector<Missing> missing_;
  bool lacks_alternative_ = false;
};

}  // namespace lockstep::config
