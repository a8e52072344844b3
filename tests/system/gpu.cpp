#include "system/gpu.h"

#include <algorithm>
#include <regex>

#include "system/run_files.h"

namespace lockstep::testing {

Words GpuTest::train_on_gpus(const std::string& experiment, const std::string& name,
                             const Words& more) const {
  Words words = train_shipped(experiment, small_file(), into(name, {"device.kind=cuda"}));
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

ProcessResult GpuTest::run_on_gpus(const Words& words, const StandIn& stand_in) {
  const std::string more = stand_in.settings.empty() ? "" : "," + stand_in.settings;
  return run(words, {.ranks = stand_in.ranks,
                     .wrapper = stand_in.wrapper,
                     .environment = {{"LOCKSTEP_STANDIN", "leaks=1,guards=0" + more}}});
}

void GpuTest::train(const Words& words, const StandIn& stand_in) const {
  expect_success(run_on_gpus(words, stand_in));
}

std::string GpuTest::outcome(const std::string& name) const {
  return contents(run_folder(name) + "/final_weights.h5") + contents(run_folder(name) + "/digests.csv");
}

double GpuTest::difference(const std::string& a, const std::string& b) const {
  const ProcessResult result = run({"compare", run_folder(a), run_folder(b)});
  static const std::regex number("by up to ([-+.e0-9]+)");
  double largest = 0;
  for (auto at = std::sregex_iterator(result.out.begin(), result.out.end(), number);
       at != std::sregex_iterator(); ++at)
    largest = std::max(largest, std::stod((*at)[1]));
  EXPECT_TRUE(result.status == 0 || largest > 0) << result.out << result.err;
  return largest;
}

}  // namespace lockstep::testing
