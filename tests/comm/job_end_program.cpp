// A job in which one rank fails, for job_end_test.sh: job_end_program MODE. Its main() has the shape that
// comm/session.h asks for.
#include <csignal>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "base/log.h"
#include "comm/collective.h"
#include "comm/session.h"
#include "comm/world.h"
#include "tensor/parameters.h"

namespace {

using namespace lockstep;  // NOLINT(google-build-using-namespace): a program of its own

[[noreturn]] void fail_here() {
  fail(ExitCode::bad_data, "a label is broken");
}

/// The one rank that fails: others come before and after it, if there are any.
bool is_culprit(const comm::World& world) {
  return world.rank() == world.size() / 2;
}

/// Two steps; the culprit never gets through the second.
void train(comm::World& world, void (*fault)()) {
  constexpr std::int64_t shards = 8;
  const auto collective = comm::make_collective(world, 64 * Parameters::block, shards);
  const std::span<float> weights = collective->make_slab();
  std::vector<comm::Partial> partials;
  for (const comm::Subtree tree :
       comm::subtrees(comm::shards_of_rank(shards, world.size(), world.rank()), shards))
    partials.push_back({tree, weights.data()});
  for (int step = 0; step < 2; ++step) {
    if (step == 1 && is_culprit(world)) fault();
    static_cast<void>(collective->exchange(partials));
    collective->all_gather(weights);
  }
}

void run(comm::World& world, const std::string& mode) {
  if (mode == "agreed")
    world.agree([&] {
      if (is_culprit(world)) fail_here();
    });
  if (mode == "barrier" && is_culprit(world)) fail_here();
  if (mode == "exchange") train(world, fail_here);
  if (mode == "killed") train(world, [] { std::raise(SIGKILL); });
  if (mode == "unwind") train(world, fail_here);
  world.barrier();
}

int report(const Error& error) {
  log::write_error(error.what());
  return static_cast<int>(error.code());
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string mode = argc > 1 ? argv[1] : "";
  const comm::Session session(argc, argv);
  comm::World world;
  if (mode == "unwind") {  // a program that forgot to catch before the Session ends
    run(world, mode);
    return 0;
  }
  try {
    run(world, mode);
    return 0;
  } catch (const comm::AgreedError& error) {
    if (world.is_root()) return report(error);
    return static_cast<int>(error.code());
  } catch (const Error& error) {
    report(error);
    world.abort(error.code());
  }
} catch (const Error& error) {
  return report(error);
}
