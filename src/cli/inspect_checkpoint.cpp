#include "cli/inspect_checkpoint.h"

#include <fmt/format.h>

#include <numeric>
#include <ranges>

#include "base/error.h"
#include "checkpoint/snapshot.h"
#include "checkpoint/store.h"
#include "checkpoint/tensor_file.h"
#include "config/parse.h"
#include "metrics/format.h"

namespace lockstep::cli {
namespace {

std::string facts_text(const checkpoint::Snapshot& snapshot) {
  std::string text =
      fmt::format("step {}: epoch {}, step {} of it", snapshot.global_step, snapshot.epoch, snapshot.step);
  if (snapshot.last_loss) text += fmt::format(", loss {:.4g}", *snapshot.last_loss);
  if (snapshot.val_accuracy) text += fmt::format(", validation accuracy {:.4f}", *snapshot.val_accuracy);
  return text;
}

}  // namespace

void print_checkpoint(const std::string& path, bool verify) {
  if (verify) checkpoint::verify_snapshot(path);
  const checkpoint::Snapshot snapshot = checkpoint::read_snapshot_header(path);
  const auto experiment = config::parse(snapshot.experiment, path + ": its experiment", {});
  std::int64_t samples = 0;
  for (const auto& shard : snapshot.totals) samples += shard.samples;
  const auto line = [](std::string_view name, const std::string& value) {
    fmt::print("  {:<11} {}\n", name, value);
  };
  fmt::print("{}\n", path);
  line("checkpoint", facts_text(snapshot));
  line("experiment", fmt::format("{}: {} planned, batch {}, {} shards, seed {}", experiment.name,
                                 metrics::counted(experiment.training.epochs, "epoch"),
                                 experiment.training.batch, experiment.training.shards, experiment.seed));
  line("trained for", metrics::duration(snapshot.seconds));
  line("epoch", fmt::format("{} samples of epoch {} so far", metrics::grouped(samples), snapshot.epoch));
  line("digests", fmt::format("weights {:016x}, optimizer {:016x}, samples {:016x}", snapshot.weights_digest,
                              snapshot.optimizer_digest, snapshot.sample_digest));
  if (snapshot.average_count)
    line("average", fmt::format("of {} weights, digest {:016x}", *snapshot.average_count,
                                snapshot.average_digest.value_or(0)));
  const checkpoint::TensorFile tensors(path, checkpoint::checkpoint_format);
  fmt::print("\n");
  for (const std::string& name : tensors.names())
    fmt::print("    {:<34} {}\n", name, tensors.shape(name).text());
  if (verify) fmt::print("\nAll checksums fit.\n");
}

void print_checkpoints(const std::string& folder) {
  const checkpoint::Store store(folder);
  const auto newest_first = store.list();
  if (newest_first.empty()) return;
  fmt::print("\n  {:<11} {} in {}\n", "checkpoints", newest_first.size(), folder);
  for (const auto& entry : newest_first | std::views::reverse) {
    std::string text;
    try {
      text = facts_text(checkpoint::read_snapshot_header(entry.path.string()));
    } catch (const Error& error) {
      text = fmt::format("not readable: {}", error.what());
    }
    fmt::print("    {}  {}\n", entry.path.filename().string(), text);
  }
}

}  // namespace lockstep::cli
