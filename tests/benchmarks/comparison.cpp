#include "comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace lockstep {
namespace {

using Times = std::map<std::string, double>;  ///< microseconds by way

/// What each way took for the pass; empty if one was not measured.
Times times_of(const Contest::Pass& pass, const std::map<std::string, double>& microseconds) {
  Times times;
  for (const auto& [way, name] : pass.benchmarks) {
    const auto found = microseconds.find(name);
    if (found == microseconds.end()) return {};
    times[way] = found->second;
  }
  return times;
}

void print_title(double peak) {
  fmt::print("\nAs device.convolutions=auto chooses, one core, FMA peak {:.1f} GFLOP/s\n", peak);
  fmt::print("{:<22} {:<9} {:<9}{:>9} {:>8} {:>8} {:>10} {:>8} {:>14}\n", "layer", "pass", "way", "µs",
             "GFLOP/s", "of peak", "oneDNN µs", "GFLOP/s", "oneDNN by way");
}

void print_pass(const Contest& contest, const std::string& pass, double operations, const Times& times,
                double peak) {
  const double chosen = times.at(contest.chosen);
  const double reference = times.at(contest.reference);
  const auto rate = [&](double time) { return operations / time / 1e3; };
  fmt::print("{:<22} {:<9} {:<9}{:>9.1f} {:>8.1f} {:>8.2f} {:>10.1f} {:>8.1f} {:>14.2f}", contest.layer, pass,
             contest.chosen, chosen, rate(chosen), rate(chosen) / peak, reference, rate(reference),
             reference / chosen);
}

/// The choice is for all passes of a layer, so only their sum can show that it is wrong.
void print_remark(const Contest& contest, const Times& sum) {
  constexpr double noise = 1.03;
  const auto best = std::ranges::min_element(sum, {}, &Times::value_type::second);
  if (sum.at(contest.chosen) > noise * best->second)
    fmt::print("   {} is faster: {:.1f} µs", best->first, best->second);
}

}  // namespace

void Reporter::ReportRuns(const std::vector<Run>& runs) {
  ConsoleReporter::ReportRuns(runs);
  for (const Run& run : runs) {
    if (run.run_type != Run::RT_Iteration) continue;
    const double time = run.GetAdjustedCPUTime();
    const auto [place, is_first] = microseconds_.try_emplace(run.run_name.function_name, time);
    place->second = std::min(place->second, time);
  }
}

void print_comparison(const std::vector<Contest>& contests, const std::map<std::string, double>& microseconds,
                      double peak) {
  bool has_title = false;
  for (const Contest& contest : contests) {
    std::vector<Times> passes;
    for (const Contest::Pass& pass : contest.passes) passes.push_back(times_of(pass, microseconds));
    if (std::ranges::any_of(passes, &Times::empty)) continue;
    if (!std::exchange(has_title, true)) print_title(peak);
    Times sum;
    double operations = 0;
    for (std::size_t i = 0; i < passes.size(); ++i) {
      const Contest::Pass& pass = contest.passes[i];
      print_pass(contest, pass.name, pass.operations, passes[i], peak);
      fmt::print("\n");
      operations += pass.operations;
      for (const auto& [way, time] : passes[i]) sum[way] += time;
    }
    print_pass(contest, "all", operations, sum, peak);
    print_remark(contest, sum);
    fmt::print("\n");
  }
}

}  // namespace lockstep
