#include "config/mapping_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/known_keys.h"
#include "config/overrides.h"
#include "config/suggest.h"

namespace lockstep::config {
namespace {

constexpr std::string_view merge_key = "<<";

/// The mappings that have such a key, for one that stands in the wrong place: "training", "optimizer.sgd".
std::vector<std::string> homes_of(std::string_view key) {
  static const std::vector<KeyDoc> all = known_keys();
  std::vector<std::string> homes;
  for (const KeyDoc& known : all) {
    // Faults are for tests: nobody else looks for their keys.
    if (known.path.starts_with("faults.")) continue;
    const std::size_t dot = known.path.rfind('.');
    if (dot != std::string::npos && std::string_view(known.path).substr(dot + 1) == key)
      homes.push_back(known.path.substr(0, dot));
  }
  return homes;
}

}  // namespace

std::string MappingKeys::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const Entry* MappingKeys::take(std::string_view key) {
  known_.push_back(key);
  return mapping_.find(key);
}

void MappingKeys::lacks(std::string_view key, std::string_view expectation) {
  missing_.push_back({.key = key, .expectation = std::string(expectation)});
}

void MappingKeys::refuse_second(const Entry& chosen, const Entry& other, std::string_view noun) {
  const std::string chosen_at = reading_.problems.name_of(chosen.place);
  if (other.place.depth == 0) {
    reading_.report(
        path_, other.place,
        fmt::format("{} can have one {} only, and '{}' is given at {}", path_, noun, chosen.key, chosen_at));
    return;
  }
  // An override reached into an alternative that is not the experiment's own.
  Node replacement = mapping_;
  std::erase_if(replacement.entries, [&](const Entry& entry) { return entry.key == chosen.key; });
  const std::string_view text = reading_.problems.override_text(other.place);
  reading_.report(path_, other.place,
                  fmt::format("the experiment has the {} '{}' here, at {}; to replace it, write '{}={}'",
                              noun, chosen.key, chosen_at, override_prefix(text, other.place.depth - 1),
                              emit_inline(replacement)));
}

void MappingKeys::finish(std::string_view noun) {
  bool has_unknown = false;
  for (const Entry& entry : mapping_.entries) {
    if (std::ranges::find(known_, entry.key) != known_.end()) continue;
    has_unknown = true;
    report_unknown(entry, noun);
    // What the file meant to merge in is not missing.
    if (entry.key == merge_key) missing_.clear();
    // A slip of a key explains why that key is missing.
    std::erase_if(missing_, [near = nearest(entry.key, known_)](const Missing& missing) {
      return missing.key == near;
    });
  }
  if (lacks_alternative_ && !has_unknown)
    reading_.report(path_, mapping_.place, fmt::format("{} must be {}", path_, join_words(known_, "or")));
  for (const Missing& missing : missing_)
    reading_.report(path_of(missing.key), mapping_.place,
                    fmt::format("{} lacks the key '{}'{}", path_.empty() ? "the experiment" : path_,
                                missing.key, missing.expectation.empty() ? "" : ", " + missing.expectation));
}

void MappingKeys::report_unknown(const Entry& entry, std::string_view noun) {
  std::string advice;
  if (entry.key == merge_key) {
    advice = ": merge keys are not supported, write the keys out";
  } else if (const std::string_view near = nearest(entry.key, known_); !near.empty()) {
    advice = fmt::format(", did you mean '{}'?", near);
  } else if (const std::string_view instead = advice_on(entry.key); !instead.empty()) {
    advice = fmt::format(": {}", instead);
  } else if (const std::vector<std::string> homes = homes_of(entry.key); noun == "key" && !homes.empty()) {
    const std::vector<std::string_view> words(homes.begin(), homes.end());
    advice = fmt::format(" here, it belongs to {}", join_words(words, "or"));
  } else {
    advice = known_.empty() ? fmt::format(", there are no {}s here", noun)
                            : fmt::format(", the {}s here are {}", noun, join_words(known_, "and"));
  }
  const Node as_value = scalar_node(entry.key);
  reading_.report(path_, entry.place, fmt::format("unknown {} {}{}", noun, name_of_value(as_value), advice));
}

}  // namespace lockstep::config
