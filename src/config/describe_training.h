#pragma once

#include <string_view>

#include "config/describe.h"

namespace lockstep::config {

constexpr Numbers learning_rates{at_least(0), at_most(1000)};
constexpr Numbers decays{at_least(0), at_most(1000)};

template <>
struct VariantNoun<Optimizer> {
  static constexpr std::string_view text = "optimizer";
};
template <>
struct VariantNoun<decltype(Schedule::kind)> {
  static constexpr std::string_view text = "schedule";
};

template <>
struct Description<Sgd> {
  static constexpr std::string_view name = "sgd";
  static constexpr std::string_view effect =
      "stochastic gradient descent: v ← momentum · v + g, w ← w − rate · v";
  static void fields(auto& visit, auto& sgd) {
    visit(Key{.name = "learning_rate", .effect = "base rate, which the schedule multiplies"},
          sgd.learning_rate, learning_rates);
    visit(Key{.name = "momentum", .effect = "share of the last step's velocity that is kept"}, sgd.momentum,
          Numbers{at_least(0), below(1)});
    visit(Key{.name = "nesterov", .effect = "looks ahead: w ← w − rate · (g + momentum · v); needs momentum"},
          sgd.nesterov, Truth{});
    visit(Key{.name = "weight_decay", .effect = "L2: adds weight_decay · w to the gradient"},
          sgd.weight_decay, decays);
  }
};

template <>
struct Description<AdamW> {
  static constexpr std::string_view name = "adamw";
  static constexpr std::string_view effect = "Adam with decoupled weight decay";
  static void fields(auto& visit, auto& adamw) {
    visit(Key{.name = "learning_rate", .effect = "base rate, which the schedule multiplies"},
          adamw.learning_rate, learning_rates);
    visit(Key{.name = "beta1", .effect = "decay of the mean of gradients"}, adamw.beta1,
          Numbers{at_least(0), below(1)});
    visit(Key{.name = "beta2", .effect = "decay of the mean of squared gradients"}, adamw.beta2,
          Numbers{at_least(0), below(1)});
    visit(Key{.name = "epsilon", .effect = "added to the root of the mean square"}, adamw.epsilon,
          Numbers{above(0), at_most(1)});
    visit(Key{.name = "weight_decay", .effect = "decoupled: w ← w − rate · weight_decay · w"},
          adamw.weight_decay, decays);
  }
};

template <>
struct Description<ConstantSchedule> {
  static constexpr std::string_view name = "constant";
  static constexpr std::string_view effect = "the base rate throughout";
  static void fields(auto& /*visit*/, auto& /*schedule*/) {}
};

template <>
struct Description<StepSchedule> {
  static constexpr std::string_view name = "step";
  static constexpr std::string_view effect = "falls at regular intervals";
  static void fields(auto& visit, auto& schedule) {
    visit(Key{.name = "every", .unit = "epochs", .effect = "length of an interval"}, schedule.every,
          integers(1, 1'000'000));
    visit(Key{.name = "factor", .effect = "multiplies the rate after each interval"}, schedule.factor,
          Numbers{above(0), at_most(1)});
  }
};

template <>
struct Description<ExponentialSchedule> {
  static constexpr std::string_view name = "exponential";
  static constexpr std::string_view effect = "falls after each epoch";
  static void fields(auto& visit, auto& schedule) {
    visit(Key{.name = "factor", .effect = "multiplies the rate after each epoch"}, schedule.factor,
          Numbers{above(0), at_most(1)});
  }
};

template <>
struct Description<CosineSchedule> {
  static constexpr std::string_view name = "cosine";
  static constexpr std::string_view effect = "falls with each step along half a cosine";
  static void fields(auto& visit, auto& schedule) {
    visit(Key{.name = "final_factor", .effect = "share of the base rate that the last step has"},
          schedule.final_factor, Numbers{at_least(0), at_most(1)});
  }
};

template <>
struct Description<LinearSchedule> {
  static constexpr std::string_view name = "linear";
  static constexpr std::string_view effect = "falls with each step in a straight line";
  static void fields(auto& visit, auto& schedule) {
    visit(Key{.name = "final_factor", .effect = "share of the base rate that the last step has"},
          schedule.final_factor, Numbers{at_least(0), at_most(1)});
  }
};

template <>
struct Description<Schedule> {
  static constexpr bool abbreviated = true;
  static void fields(auto& visit, auto& schedule) {
    visit.one_of(schedule.kind);
    visit(
        Key{.name = "warmup_steps",
            .unit = "steps",
            .effect = "over so many first steps the rate rises in a straight line to what the schedule says"},
        schedule.warmup_steps, integers(0, 1'000'000'000));
  }
};

template <>
struct Description<Average> {
  static void fields(auto& visit, auto& average) {
    visit(Key{.name = "from_epoch",
              .unit = "epochs",
              .effect = "the first epoch that counts",
              .required = true},
          average.from_epoch, integers(1, 1'000'000));
    visit(Key{.name = "every_steps",
              .unit = "steps",
              .effect = "takes the weights after each step whose number, counted over the whole training, it "
                        "divides. `0`: those at the end of each epoch"},
          average.every_steps, integers(0, 1'000'000'000));
  }
};

template <>
struct Description<Training> {
  static void fields(auto& visit, auto& training) {
    visit(Key{.name = "epochs",
              .unit = "epochs",
              .effect = "passes over the training samples",
              .required = true},
          training.epochs, integers(1, 1'000'000));
    visit(Key{.name = "batch",
              .unit = "samples",
              .effect = "samples of one step, over all ranks",
              .required = true},
          training.batch, integers(1, 1 << 30));
    visit(Key{.name = "shards",
              .effect =
                  "pieces of a batch, which ranks and their threads share out: at most so many can work at "
                  "once. Another number gives other bits; another number of ranks does not"},
          training.shards, PowersOfTwo{1, 4096});
    visit(Key{.name = "reproducibility",
              .effect =
                  "how gradients are added. `lockstep`: in one tree, the same bits on any number of ranks "
                  "and threads; `run`: as the MPI library (between GPUs: NCCL) likes, and a GPU computes all "
                  "that it has of a batch at once; the same bits only on the same layout"},
          training.reproducibility,
          choices<Reproducibility>({{Reproducibility::lockstep, "lockstep"}, {Reproducibility::run, "run"}}));
    visit(
        Key{.name = "watchdog_seconds",
            .unit = "seconds",
            .effect = "a job in which no rank gets on for so long is ended with 70, naming who holds it up: "
                      "choose more than a step takes; 0: it is not watched"},
        training.watchdog_seconds, integers(0, 1'000'000));
    visit(Key{.name = "validate_every",
              .unit = "epochs",
              .effect = "validates after each so many epochs, and after the last one of the training"},
          training.validate_every, integers(1, 1'000'000));
    visit(
        Key{.name = "average",
            .effect = "validates and saves the equal mean of weights along the way instead of the last ones. "
                      "The training itself goes on with those"},
        training.average);
  }
};

}  // namespace lockstep::config
