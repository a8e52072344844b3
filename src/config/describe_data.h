#pragma once

#include "config/describe.h"

namespace lockstep::config {

template <>
struct Description<Split> {
  static void fields(auto& visit, auto& split) {
    visit(Key{.name = "file",
              .effect = "HDF5 file, relative to the folder in which lockstep is started",
              .required = true},
          split.file, Path{"the path of a file"});
    visit(Key{.name = "images", .effect = "data set of the images within the file", .required = true},
          split.images, Text{"the path of a data set within the file"});
    visit(Key{.name = "labels", .effect = "data set of their class numbers", .required = true}, split.labels,
          Text{"the path of a data set within the file"});
    visit(
        Key{.name = "rows",
            .unit = "samples",
            .effect = "takes a part of both data sets only, as if there were no more: to hold back training "
                      "samples, for example",
            .fallback = "all"},
        split.rows, RowRange{});
  }
};

template <>
struct Description<Augment> {
  static void fields(auto& visit, auto& augment) {
    visit(Key{.name = "shift",
              .unit = "pixels",
              .effect = "moves it by up to so many whole pixels up or down, and left or right"},
          augment.shift, integers(0, 4096));
    visit(Key{.name = "rotate",
              .unit = "degrees",
              .effect = "turns it about its centre by up to so much, either way"},
          augment.rotate, Numbers{at_least(0), at_most(180)});
    visit(Key{.name = "shear",
              .unit = "columns a row",
              .effect =
                  "slants it by up to so much, either way: 0.2 moves the outer rows of 28 by 2.7 columns"},
          augment.shear, Numbers{at_least(0), at_most(2)});
    visit(Key{.name = "zoom", .effect = "magnifies it by a factor from 1 − this to 1 + this"}, augment.zoom,
          Numbers{at_least(0), at_most(0.9)});
  }
};

template <>
struct Description<Data> {
  static void fields(auto& visit, auto& data) {
    visit(Key{.name = "train", .effect = "the samples to learn from", .required = true}, data.train);
    visit(
        Key{.name = "validation", .effect = "the samples to measure on after each epoch", .fallback = "none"},
        data.validation);
    visit(Key{.name = "scale", .effect = "multiplies raw pixels: 1/255 brings bytes to 0..1"}, data.scale,
          Numbers{above(0), at_most(1e6)});
    visit(Key{.name = "shuffle",
              .effect =
                  "order of the samples. `none`: as in the file; `stripes`: each shard's share is permuted "
                  "anew each epoch, and a rank holds its share only; `global`: all are, and every rank "
                  "holds the whole set"},
          data.shuffle,
          choices<Shuffle>(
              {{Shuffle::none, "none"}, {Shuffle::stripes, "stripes"}, {Shuffle::global, "global"}}));
    visit(Key{.name = "augment",
              .effect = "distorts each training image at random, anew in every epoch, as below. Pixels from "
                        "outside are 0"},
          data.augment);
  }
};

}  // namespace lockstep::config
