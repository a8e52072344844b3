#include "train/doubts.h"

#include <fmt/format.h>

#include <utility>

namespace lockstep::train {
namespace {

/// Scale and weights would have to fit both.
std::string different_types(const Blueprint& blueprint) {
  if (!blueprint.validation || blueprint.validation->image_type == blueprint.train.image_type) return "";
  return fmt::format(
      "{}: images to train on are {}, those to validate on {}, and data.scale is one for both: see to it "
      "that their numbers have the same range (lockstep inspect shows it)",
      blueprint.experiment.source, name_of(blueprint.train.image_type),
      name_of(blueprint.validation->image_type));
}

/// Few channels behind two large extents: other programs store images so.
std::string channels_last(const Blueprint& blueprint) {
  constexpr std::int64_t most_channels = 4;
  const Shape& image = blueprint.train.image;
  if (image.rank() != 3 || image[2] > most_channels || image[0] <= most_channels || image[1] <= most_channels)
    return "";
  return fmt::format(
      "{}: images of {} in {} are {}, which is read as {} channels of {}×{}: if channels come last in the "
      "file, store them first (numpy: images.transpose(0, 3, 1, 2))",
      blueprint.experiment.source, blueprint.experiment.data.train.images, blueprint.train.file, image.text(),
      image[0], image[1], image[2]);
}

std::string empty_shards(const Blueprint& blueprint) {
  const config::Training& training = blueprint.experiment.training;
  if (training.batch >= training.shards) return "";
  return fmt::format(
      "{}: training.batch is {}, less than training.shards, {}: some shards, and the ranks that have no "
      "others, are always without samples",
      blueprint.experiment.source, training.batch, training.shards);
}

}  // namespace

std::vector<std::string> doubts(const Blueprint& blueprint) {
  std::vector<std::string> found;
  for (std::string text : {shared_samples(blueprint), different_types(blueprint), channels_last(blueprint),
                           empty_shards(blueprint)})
    if (!text.empty()) found.push_back(std::move(text));
  return found;
}

}  // namespace lockstep::train
