#pragma once

#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <vector>

namespace lockstep {

/// Prints what Google Benchmark prints, and remembers each benchmark's shortest repetition.
class Reporter : public benchmark::ConsoleReporter {
 public:
  Reporter() : ConsoleReporter(OO_Tabular) {}
  void ReportRuns(const std::vector<Run>& runs) override;
  /// Microseconds of processor time by name, without those that a filter left out.
  [[nodiscard]] const std::map<std::string, double>& microseconds() const { return microseconds_; }

 private:
  std::map<std::string, double> microseconds_;
};

/// A layer's passes in several ways, each benchmark known by its name.
struct Contest {
  struct Pass {
    std::string name;
    double operations = 0;                            ///< by definition
    std::map<std::string, std::string> benchmarks{};  ///< by way
  };
  std::string layer;
  std::string chosen;     ///< the way that device.convolutions=auto takes
  std::string reference;  ///< oneDNN's
  std::vector<Pass> passes;
};

/// For each layer all of whose benchmarks were measured a line for each pass and one for all together: time,
/// GFLOP/s and share of the peak of the way chosen, oneDNN's beside it; and a remark where another way would
/// take less by more than 3 %.
void print_comparison(const std::vector<Contest>& contests, const std::map<std::string, double>& microseconds,
                      double peak);

}  // namespace lockstep
