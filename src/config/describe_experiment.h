#pragma once

#include <cstdint>
#include <limits>

#include "config/describe.h"
#include "config/describe_data.h"
#include "config/describe_faults.h"
#include "config/describe_model.h"
#include "config/describe_training.h"

namespace lockstep::config {

template <>
struct Description<Checkpoint> {
  static void fields(auto& visit, auto& checkpoint) {
    visit(Key{.name = "every_epochs",
              .unit = "epochs",
              .effect = "takes one after so many epochs; 0: not by epochs"},
          checkpoint.every_epochs, integers(0, 1'000'000));
    visit(Key{.name = "every_steps",
              .unit = "steps",
              .effect = "takes one after so many steps; 0: not by steps"},
          checkpoint.every_steps, integers(0, 1'000'000'000));
    visit(Key{.name = "every_minutes",
              .unit = "minutes",
              .effect = "takes one so long after the last; 0: not by time"},
          checkpoint.every_minutes, Numbers{at_least(0), at_most(1e6)});
    visit(Key{.name = "keep", .effect = "so many of the newest are kept; 0: none is ever written"},
          checkpoint.keep, integers(0, 1'000'000));
    visit(Key{.name = "keep_best", .effect = "keeps the one of the highest validation accuracy as well"},
          checkpoint.keep_best, Truth{});
    visit(
        Key{.name = "on_failure",
            .effect = "when one cannot be written. `continue`: a warning, and the training goes on; `stop`: "
                      "it ends"},
        checkpoint.on_failure,
        choices<OnWriteFailure>({{OnWriteFailure::go_on, "continue"}, {OnWriteFailure::stop, "stop"}}));
  }
};

template <>
struct Description<Digests> {
  static void fields(auto& visit, auto& digests) {
    visit(Key{.name = "every",
              .unit = "steps",
              .effect = "the hash of the weights is written after each so many steps, and where an epoch or "
                        "the run ends. `0`: only there. `lockstep compare` finds the first step at which two "
                        "runs differ by it"},
          digests.every, integers(0, 1'000'000'000));
  }
};

template <>
struct Description<Device> {
  static void fields(auto& visit, auto& device) {
    visit(Key{.name = "kind", .effect = "what computes"}, device.kind,
          choices<DeviceKind>({{DeviceKind::cpu, "cpu"}, {DeviceKind::cuda, "cuda"}}));
    visit(Key{.name = "threads",
              .unit = "threads",
              .effect = "of one rank. `auto`: the rank's share of the cores, at most its shards"},
          device.threads, CountOrAuto{1024});
    visit(Key{.name = "instruction_set",
              .effect =
                  "what all ranks compute with: another one gives other bits where layers are oneDNN's. Own "
                  "kernels of convolutions and dense layers take AVX-512 from avx512_core on, else AVX2, and "
                  "give the same bits with both. `auto`: the greatest that the processors of all ranks have"},
          device.instruction_set,
          Choices<InstructionSet, instruction_set_names.size()>{instruction_set_names});
    visit(
        Key{.name = "convolutions",
            .effect = "how CPUs compute convolutions. `auto`: Lockstep's own kernels where they are faster, "
                      "by a rule on the layer's extents; `winograd` or `direct`: these own kernels wherever "
                      "they can; `onednn`: that library's alone, also for dense layers. Another way gives "
                      "other bits. Behind a ReLU and a pool Winograd's kernels go backward by the definition "
                      "where few outputs are alive"},
        device.convolutions,
        choices<ConvolutionMethod>({{ConvolutionMethod::automatic, "auto"},
                                    {ConvolutionMethod::winograd, "winograd"},
                                    {ConvolutionMethod::direct, "direct"},
                                    {ConvolutionMethod::onednn, "onednn"}}));
    visit(
        Key{.name = "precision",
            .effect = "of the products in convolutions and dense layers; sums are in fp32. `tf32` and `bf16` "
                      "round what is multiplied to 10 and 7 bits behind the point, but for a first "
                      "convolution that own "
                      "kernels compute, and need GPUs"},
        device.precision,
        choices<Precision>(
            {{Precision::fp32, "fp32"}, {Precision::tf32, "tf32"}, {Precision::bf16, "bf16"}}));
    visit(Key{.name = "gpus",
              .effect =
                  "the GPUs of a host, one for each of its ranks in order, as CUDA numbers those that it "
                  "sees. `auto`: each rank takes the first of those that the fewest ranks before it have"},
          device.gpus, IndicesOrAuto{1023});
    visit(Key{.name = "exchange",
              .effect = "how gradients and weights get from GPU to GPU. `mpi`: by way of the hosts' memory; "
                        "`cuda_aware_mpi`: MPI reads and writes the GPUs' memory itself, which it must be "
                        "built for; `auto`: NCCL if this build has it, else `mpi`"},
          device.exchange,
          choices<Exchange>({{Exchange::automatic, "auto"},
                             {Exchange::nccl, "nccl"},
                             {Exchange::mpi, "mpi"},
                             {Exchange::cuda_aware_mpi, "cuda_aware_mpi"}}));
    visit(
        Key{.name = "branches",
            .unit = "shards",
            .effect = "so many of a rank's shards run side by side on its GPU, each with memory of its own. "
                      "`auto`: as many as there are, if they fit"},
        device.branches, CountOrAuto{4096});
    visit(Key{.name = "data",
              .effect =
                  "where a rank's samples lie. `device`: in the GPU's memory, copied once; `host`: in the "
                  "host's, copied step by step; `auto`: on the GPU if they take at most half of what is "
                  "free there"},
          device.data,
          choices<DataPlace>(
              {{DataPlace::automatic, "auto"}, {DataPlace::device, "device"}, {DataPlace::host, "host"}}));
  }
};

template <>
struct Description<Checks> {
  static void fields(auto& visit, auto& checks) {
    visit(
        Key{.name = "memory",
            .effect =
                "before each update every rank looks whether its weights and optimizer state still are what "
                "was written. If not, `stop` ends the job; `repair` fetches weights from a rank that has "
                "them whole and computes the step again; `off` does not look"},
        checks.memory,
        choices<MemoryChecks>(
            {{MemoryChecks::stop, "stop"}, {MemoryChecks::repair, "repair"}, {MemoryChecks::off, "off"}}));
    visit(Key{.name = "arithmetic_every",
              .unit = "steps",
              .effect = "every so many steps one shard is computed by two ranks, or twice by the only one: "
                        "other bits end the job, naming the rank that is wrong. `0`: never"},
          checks.arithmetic_every, integers(0, 1'000'000'000));
  }
};

template <>
struct Description<Output> {
  static void fields(auto& visit, auto& output) {
    visit(Key{.name = "dir", .effect = "the folder that holds runs, made when missing"}, output.dir,
          Path{"the path of a folder"});
    visit(Key{.name = "name",
              .effect = "this run's folder within it, which must not exist yet",
              .fallback = "`<experiment>-<UTC time>`"},
          output.name, Name{.dots = true});
    visit(Key{.name = "progress", .effect = "a line that moves within the epoch. `auto`: on a terminal"},
          output.progress,
          choices<Progress>({{Progress::automatic, "auto"}, {Progress::on, "on"}, {Progress::off, "off"}}));
  }
};

template <>
struct Description<Experiment> {
  static void fields(auto& visit, auto& experiment) {
    visit(Key{.name = "name", .effect = "what runs are called", .required = true}, experiment.name,
          Name{.dots = true});
    visit(Key{.name = "seed", .effect = "of all randomness: weights, order of samples, dropout"},
          experiment.seed, Integers<std::uint64_t>{0, std::numeric_limits<std::uint64_t>::max()});
    visit(Key{.name = "data", .effect = "what to train on", .required = true}, experiment.data);
    visit(Key{.name = "model", .effect = "the layers, first to last", .required = true}, experiment.model);
    visit(Key{.name = "loss",
              .effect = "what to minimise. `softmax_cross_entropy`: takes raw scores; `mean_squared_error`: "
                        "against one-hot labels, the mean over outputs"},
          experiment.loss,
          choices<Loss>({{Loss::softmax_cross_entropy, "softmax_cross_entropy"},
                         {Loss::mean_squared_error, "mean_squared_error"}}));
    visit(Key{.name = "optimizer", .effect = "how weights follow gradients", .required = true},
          experiment.optimizer);
    visit(Key{.name = "schedule",
              .effect = "how the learning rate changes in training",
              .fallback = "`constant`"},
          experiment.schedule);
    visit(Key{.name = "training", .effect = "how long to train, and in which pieces", .required = true},
          experiment.training);
    visit(Key{.name = "checkpoint", .effect = "what a training can go on from"}, experiment.checkpoint);
    visit(Key{.name = "digests", .effect = "hashes that a run writes down"}, experiment.digests);
    visit(Key{.name = "device", .effect = "what computes"}, experiment.device);
    visit(Key{.name = "checks", .effect = "which failures of the hardware are looked for"},
          experiment.checks);
    visit(Key{.name = "output", .effect = "where results go"}, experiment.output);
    visit(Key{.name = "faults",
              .effect = "what goes wrong on purpose, in tests; needs `lockstep train --allow-faults`",
              .fallback = "none"},
          experiment.faults);
  }
};

}  // namespace lockstep::config
