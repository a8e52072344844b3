#pragma once

#include "config/describe.h"

namespace lockstep::config {

template <>
struct VariantNoun<fault::Spec> {
  static constexpr std::string_view text = "fault";
};

/// What every kind of fault has.
template <>
struct Description<fault::Fault> {
  static void fields(auto& visit, auto& fault) {
    visit(Key{.name = "rank", .effect = "on which it happens", .required = true}, fault.rank,
          integers(0, 1'000'000));
    visit(Key{.name = "step",
              .unit = "steps",
              .effect = "in which it happens, before the update; counted from 1 over the whole training"},
          fault.step, integers(1, 1'000'000'000'000));
  }
};

constexpr IndexOrAuto elements{1'000'000'000'000};
constexpr std::string_view element_effect =
    "which of the numbers, modulo how many there are; `auto`: any, by the seed";
constexpr IndexOrAuto shards_of_rank{4095};
constexpr std::string_view shard_effect =
    "which of the rank's shards has the gradient, modulo how many there are; `auto`: any, by the seed";

template <>
struct Description<fault::Flip> {
  static constexpr std::string_view name = "flip";
  static constexpr std::string_view effect = "one bit changes in memory";
  static void fields(auto& visit, auto& flip) {
    visit(Key{.name = "target",
              .effect = "whose bit: of a weight that the rank owns, of its copy of one that another rank "
                        "owns, of its optimizer state, or of the gradient of one of its shards",
              .required = true},
          flip.target,
          choices<fault::Target>({{fault::Target::owned_weight, "owned_weight"},
                                  {fault::Target::copied_weight, "copied_weight"},
                                  {fault::Target::optimizer_state, "optimizer_state"},
                                  {fault::Target::gradient, "gradient"}}));
    visit(Key{.name = "element", .effect = element_effect}, flip.element, elements);
    visit(Key{.name = "bit", .effect = "31 is the sign; `auto`: any, by the seed"}, flip.bit,
          IndexOrAuto{31});
    visit(Key{.name = "shard", .effect = shard_effect}, flip.shard, shards_of_rank);
  }
};

template <>
struct Description<fault::Kill> {
  static constexpr std::string_view name = "kill";
  static constexpr std::string_view effect = "the rank's process gets SIGKILL";
  static void fields(auto& /*visit*/, auto& /*kill*/) {}
};

template <>
struct Description<fault::Stall> {
  static constexpr std::string_view name = "stall";
  static constexpr std::string_view effect = "a thread of the rank stops for ever";
  static void fields(auto& visit, auto& stall) {
    visit(Key{.name = "place",
              .effect =
                  "`loader`: on the way to the step's samples, the main thread or with a GPU the one that "
                  "gathers them; `compute`: a worker; `exchange`: the main thread, before it joins the "
                  "exchange of gradients",
              .required = true},
          stall.place,
          choices<fault::Place>({{fault::Place::loader, "loader"},
                                 {fault::Place::compute, "compute"},
                                 {fault::Place::exchange, "exchange"}}));
  }
};

template <>
struct Description<fault::Nan> {
  static constexpr std::string_view name = "nan";
  static constexpr std::string_view effect = "a number of a gradient becomes NaN";
  static void fields(auto& visit, auto& nan) {
    visit(Key{.name = "element", .effect = element_effect}, nan.element, elements);
    visit(Key{.name = "shard", .effect = shard_effect}, nan.shard, shards_of_rank);
  }
};

template <>
struct Description<fault::IoError> {
  static constexpr std::string_view name = "io_error";
  static constexpr std::string_view effect =
      "from the step on, the rank's next write of a file fails as on a full disk";
  static void fields(auto& /*visit*/, auto& /*error*/) {}
};

template <>
struct Description<fault::Miscompute> {
  static constexpr std::string_view name = "miscompute";
  static constexpr std::string_view effect =
      "at set-up, whatever the step, the rank computes one wrong bit where ranks compare what they compute";
  static void fields(auto& /*visit*/, auto& /*miscompute*/) {}
};

}  // namespace lockstep::config
