#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lockstep::metrics {

/// What rank 0 reports of one epoch. Losses are means per sample, accuracies shares in [0, 1].
struct EpochRecord {
  std::int64_t epoch = 0;   ///< from 1
  std::int64_t epochs = 0;  ///< planned
  double train_loss = 0;    ///< over the epoch, while the weights moved
  double train_accuracy = 0;
  std::optional<double> val_loss = std::nullopt;  ///< none without a validation set
  std::optional<double> val_accuracy = std::nullopt;
  double learning_rate = 0;       ///< of the epoch's last step
  double seconds = 0;             ///< training and evaluation
  double samples_per_second = 0;  ///< of training alone
};

/// Hashes that are the same for two trainings that are the same to the bit, on any ranks and threads.
struct EpochDigests {
  std::uint64_t optimizer = 0;  ///< its state
  std::uint64_t samples = 0;    ///< which samples, in which order
  std::uint64_t metrics = 0;    ///< losses, accuracies and learning rate
};
struct DigestRecord {
  std::int64_t step = 0;   ///< done so far, over the whole training; 0: the initial weights
  std::int64_t epoch = 0;  ///< that step's; 1 for the initial weights
  std::uint64_t weights = 0;
  std::optional<EpochDigests> at_epoch_end;  ///< where the step is the last of its epoch
};

/// Progress within an epoch.
struct StepRecord {
  std::int64_t epoch = 0, epochs = 0;
  std::int64_t step = 0, steps = 0;  ///< step: finished so far in this epoch
  double loss = 0;                   ///< mean over the epoch so far
  double accuracy = 0;
  double samples_per_second = 0;
  double seconds_left = 0;  ///< of the whole training
};

/// What is known before the first step, for the header.
struct RunHeader {
  std::string experiment, file, folder;
  std::string goes_on;  ///< "after step 120 (epoch 3), from …/step-000000000120.h5"; empty for a start
  int ranks = 1;
  std::vector<std::string> hosts;         ///< distinct
  std::int64_t threads_per_rank = 1;      ///< of the rank with the fewest
  std::int64_t max_threads_per_rank = 1;  ///< of the rank with the most
  std::int64_t cores_idle = 0;            ///< cores that no rank uses
  std::string idle_advice;                ///< which setting changes that; empty if none idle
  std::string device;                     ///< "cpu (avx512_core), oneDNN 2.6.3"
  std::string exchange;                   ///< "shared memory, 1.7 MB a step"
  std::int64_t train_samples = 0, val_samples = 0;
  std::int64_t parameters = 0;
  std::int64_t epochs = 0, steps_per_epoch = 0, batch = 0, shards = 0;
  std::string reproducibility;  ///< "lockstep" or "run"
  std::string augmentation;     ///< "shift up to 2 pixels"; empty if images are used as they are
  std::string average;          ///< of the weights, which is validated and saved; empty if there is none
};

/// Where the time of a run's steps went, in milliseconds a step, means over all its steps.
struct ProfileRecord {
  /// A rank's main thread. Times are by the clock, those spent waiting for other ranks included.
  struct Rank {
    double loading = 0;  ///< waiting for samples, or gathering what was not ready
    /// Packing weights, its shards and what is done beside them, and what it does for other ranks of its
    /// host; on all its threads.
    double computing = 0;
    double status =
        0;  ///< waiting for the others, telling them how it went; on a device, looking at the memory
    double exchange = 0;
    double update = 0;
    double gather = 0;  ///< handing on weights, also packed ones
    double rest = 0;
    double waiting = 0;  ///< of all of these, for other ranks
    [[nodiscard]] double step() const {
      return loading + computing + status + exchange + update + gather + rest;
    }
  };
  /// What a thread does while its rank computes; idle in what is left. Where a device has threads of its own,
  /// all is zero.
  struct Thread {
    int rank = 0, thread = 0;
    double packing = 0;  ///< new weights into the layouts of the kernels
    double forward = 0, backward = 0;
    double adding = 0;    ///< gradients of shards to each other
    double checking = 0;  ///< that memory holds what was written
    double fetching = 0;  ///< samples of the next step
    [[nodiscard]] double busy() const { return packing + forward + backward + adding + checking + fetching; }
  };
  /// Of all ranks and threads together.
  struct Layer {
    std::string name;
    double forward = 0, backward = 0;
  };
  std::int64_t steps = 0;
  std::vector<Rank> ranks;
  std::vector<Thread> threads;  ///< by rank, then by thread
  std::vector<Layer> layers;    ///< those that take time, in the network's order; last the loss
};

/// How a run ended.
struct RunSummary {
  std::string status;  ///< "finished", "stopped by a signal", "diverged", "failed"
  std::string detail;  ///< for a run that did not finish: why
  std::int64_t epochs_done = 0;
  std::int64_t steps_done = 0;
  double seconds = 0;
  double startup_seconds = 0;             ///< from the start of the process to the first step
  std::int64_t peak_memory_bytes = 0;     ///< largest of all ranks
  std::optional<EpochRecord> last, best;  ///< best: highest validation accuracy, earliest
  std::string folder;
  std::string weights;         ///< file with the final weights; empty if none was written
  std::string weights_digest;  ///< as in digests.csv; empty if unknown
};

}  // namespace lockstep::metrics
