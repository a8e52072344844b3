#pragma once

#include <string>
#include <vector>

#include "system/system_test.h"

namespace lockstep::testing {

/// What carries gradients and weights between ranks.
enum class Carrier {
  chosen,    ///< what Lockstep chooses: shared memory on one host
  messages,  ///< MPI messages, which on one host go through memory too
  tcp,       ///< MPI messages, and all of MPI over TCP
};

struct Layout {
  int ranks = 1;
  int threads = 1;  ///< of each rank
  Carrier carrier = Carrier::chosen;
  std::vector<int> hosts{};  ///< ranks on each of two simulated hosts; empty: all on this one
};

/// The numbers of ranks and threads that the contract names, but for one rank with one thread, over each of
/// the carriers. One rank needs none, and comes once.
std::vector<Layout> every_layout(const std::vector<Carrier>& carriers);

/// The lockstep contract: an experiment gives the same bytes on every layout.
class ContractTest : public SystemTest {
 protected:
  /// Every layout gives what one rank with one thread gives. Each of the changes, such as another order of
  /// additions, gives something else, so that there is something to notice: they need an epoch's metrics.
  /// `experiment` as for `lockstep train`.
  void expect_same_everywhere(const Words& experiment, const std::vector<Layout>& layouts,
                              const Words& changes);
  /// Everything that the shipped experiments leave out, in sizes that divide by nothing, with 16 shards: more
  /// than the last step of an epoch has samples.
  Words train_odd_network() const;
  /// Dense layers whose weights are read for several shards at a time, with 16 shards.
  Words train_large_layers() const;

 private:
  /// What a training leaves that must not depend on its layout.
  struct Outcome {
    std::string weights;
    std::string metrics;
    std::string digests;
  };
  Outcome train(Words experiment, const Layout& layout);

  int runs_ = 0;
};

}  // namespace lockstep::testing
