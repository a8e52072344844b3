#include "config/problems.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/error.h"

namespace lockstep::config {
namespace {

/// More are counted, not listed: a screenful is what a person reads.
constexpr std::size_t listed_at_most = 50;

auto order(const Place& place) {
  return std::tuple(place.override_index, place.mark.line, place.mark.column);
}

/// Fit for one line of a report: keys and values may hold anything.
std::string printable(std::string text) {
  std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c == '\x7f'; }, '?');
  return text;
}

}  // namespace

Problems::Problems(std::string source, std::vector<std::string> overrides)
    : source_(std::move(source)), overrides_(std::move(overrides)) {}

void Problems::add(const Place& place, std::string message) {
  message = printable(std::move(message));
  // What an alias repeats is wrong once.
  const bool known = std::ranges::any_of(problems_, [&](const Problem& problem) {
    return order(problem.place) == order(place) && problem.message == message;
  });
  if (!known) problems_.push_back({place, std::move(message)});
}

std::string Problems::name_of(const Place& place) const {
  if (place.in_override()) return fmt::format("override '{}'", printable(override_text(place)));
  if (place.mark.line == 0) return source_;
  return fmt::format("{}:{}:{}", source_, place.mark.line, place.mark.column);
}

void Problems::throw_if_any() const {
  if (problems_.empty()) return;
  std::vector<Problem> sorted = problems_;
  std::ranges::stable_sort(sorted, {}, [](const Problem& problem) { return order(problem.place); });

  std::string report;
  const std::size_t listed = std::min(sorted.size(), listed_at_most);
  for (std::size_t i = 0; i < listed; ++i)
    report += fmt::format("{}{}: {}", i == 0 ? "" : "\n", name_of(sorted[i].place), sorted[i].message);
  if (listed < sorted.size()) report += fmt::format("\n… and {} more problems", sorted.size() - listed);
  throw Error(ExitCode::bad_config, report);
}

}  // namespace lockstep::config
