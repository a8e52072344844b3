// What the arithmetic units of this machine can do, on one core and on several at once: the limit that a
// training's useful arithmetic is compared with.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fma_peak.h"

int main(int argc, char** argv) {
  int threads = 1;
  bool json = false;
  CLI::App app{"Fused multiply-adds in fp32 that this machine does in a second, two operations each"};
  app.add_option("--threads", threads, "so many cores at once, beside one alone")->check(CLI::Range(1, 1024));
  app.add_flag("--json", json, "print the result as JSON");
  CLI11_PARSE(app, argc, argv);

  const double one = lockstep::fma_peak(1);
  const double all = lockstep::fma_peak(threads);
  if (json) {
    const nlohmann::ordered_json report = {{"one_gflops", one}, {"all_gflops", all}, {"threads", threads}};
    fmt::print("{}\n", report.dump());
  } else {
    fmt::print("{:.1f} GFLOP/s on one core, {:.1f} on {} threads\n", one, all, threads);
  }
}
