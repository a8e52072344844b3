#include "train/evaluator.h"

#include <exception>

#include "base/aligned_buffer.h"
#include "data/hdf5_dataset.h"

namespace lockstep::train {

Evaluator::Evaluator(const Blueprint& blueprint, const Resources& resources, Range shards)
    : stripes_(blueprint.validation_stripes()),
      dataset_(
          data::read_dataset(*blueprint.experiment.data.validation, *blueprint.validation, stripes_, shards)),
      engine_(make_evaluation_engine(blueprint, resources, *dataset_, stripes_, shards)),
      loader_(*dataset_, data::Sampler(stripes_, config::Shuffle::none, blueprint.experiment.seed),
              static_cast<float>(blueprint.experiment.data.scale), shards, data::Loader::default_slots,
              data::Faults::none, engine_->has_images() ? data::Images::left : data::Images::gathered),
      meter_(shards, stripes_.shards()) {}

std::optional<device::Totals> Evaluator::evaluate(comm::World& world, std::span<const float> weights,
                                                  bool (*stop)()) {
  enum News : std::int64_t { none, stopped, failed };
  meter_.reset();
  loader_.start(1);
  for (std::int64_t step = 0; step < stripes_.steps(); ++step) {
    std::exception_ptr failure;
    std::int64_t news = stop() ? stopped : none;
    try {
      if (step == 0) engine_->weights_changed(weights);
      meter_.add(engine_->evaluate(loader_.next()));
    } catch (...) {
      failure = std::current_exception();
      news = failed;
    }
    world.max({&news, 1});
    if (news == failed)
      world.agree([&] {
        if (failure) std::rethrow_exception(failure);
      });
    if (news == stopped) return std::nullopt;
  }
  return meter_.reduce(world);
}

device::Totals Evaluator::evaluate(comm::World& world, std::span<const float> weights) {
  return evaluate(world, weights, [] { return false; }).value();
}

std::vector<PlanHash> Evaluator::hash_plans(const Parameters& parameters) {
  const AlignedBuffer<float> weights(static_cast<std::size_t>(parameters.slab_size()));
  generate_weights(parameters, weights.span());
  return engine_->hash_plans(weights.span());
}

std::int64_t Evaluator::bytes() const {
  return dataset_->bytes_kept() + loader_.bytes() + engine_->bytes();
}

}  // namespace lockstep::train
