#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/partition.h"
#include "comm/world.h"
#include "config/experiment.h"
#include "data/augmentation.h"
#include "data/hdf5_dataset.h"
#include "data/sampler.h"
#include "data/stripes.h"
#include "device/network.h"

namespace lockstep::train {

/// What an experiment amounts to before anything is computed: the facts about its data, its network, and how
/// both are cut. A pure function of the experiment and the data files, so every rank makes the same one by
/// itself.
struct Blueprint {
  config::Experiment experiment;
  data::DatasetInfo train;
  std::optional<data::DatasetInfo> validation;
  device::Network network;

  [[nodiscard]] data::Stripes train_stripes() const;
  [[nodiscard]] data::Sampler train_sampler() const;
  [[nodiscard]] data::Stripes validation_stripes() const;  ///< requires a validation set
  [[nodiscard]] std::int64_t steps_per_epoch() const { return train_stripes().steps(); }
};

/// Looks at the data files (not at their images) and builds the network. Throws Error for whatever does not
/// fit.
Blueprint make_blueprint(const config::Experiment& experiment);

/// Says which samples the network is both trained and validated on, which makes it look better than it is;
/// empty if there are none. The splits name one file and data set of images, and rows that overlap.
std::string shared_samples(const Blueprint& blueprint);

/// How training images are distorted, if they are.
std::optional<data::Augmentation> augmentation(const Blueprint& blueprint);

/// Throws Error(bad_config) naming the setting to change unless this many ranks can share the shards.
void check_ranks(const config::Experiment& experiment, int ranks);

/// What tells the data from others: size, samples, types and checksums of both sets. One line.
std::string fingerprint(const Blueprint& blueprint);

/// Throws on every rank, naming the host, when a rank sees another data file than rank 0: size, samples or
/// checksums differ. Collective.
void check_same_data(comm::World& world, const Blueprint& blueprint);

}  // namespace lockstep::train
