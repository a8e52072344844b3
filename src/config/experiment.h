#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/fault.h"
#include "config/instruction_set.h"

/// An experiment as plain structs: what a YAML file says, with every default in place. configs/README.md
/// explains each key to users; the member initialisers here are those defaults.
namespace lockstep::config {

/// Where in the experiment file something was said. Lines and columns count from 1; 0 means "not in the
/// file".
struct Mark {
  int line = 0;
  int column = 0;
};

/// Rows [begin, end) of a data set; both 0: all of it.
struct Rows {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] bool all() const { return end == 0; }
  friend bool operator==(const Rows&, const Rows&) = default;
};

/// One HDF5 file with images and their class labels.
struct Split {
  std::string file;
  std::string images;
  std::string labels;
  Rows rows = {};
};

/// Each training image is moved, turned, sheared and magnified at random, anew in every epoch, by an affine
/// map about its centre; what comes from outside is 0. Each number is the limit of a uniform distribution
/// around 0.
struct Augment {
  std::int64_t shift = 0;  ///< whole pixels, down and to the right
  double rotate = 0;       ///< degrees
  double shear = 0;        ///< columns a row
  double zoom = 0;         ///< of the magnification around 1
};

/// none: file order. stripes: each stripe is permuted within itself each epoch, so a rank reads only its
/// share. global: over everything, and every rank holds the whole set.
enum class Shuffle : std::uint8_t { none, stripes, global };

struct Data {
  Split train;
  std::optional<Split> validation;
  double scale = 1.0;  ///< multiplies raw pixels
  Shuffle shuffle = Shuffle::stripes;
  std::optional<Augment> augment;
};

// Initialisers. The he_ and glorot_ kinds take their width from the layer's fan-in and fan-out.
struct UniformInit {
  double limit = 0.05;  ///< uniform in [-limit, limit)
};
struct NormalInit {
  double stddev = 0.05;
};
struct ConstantInit {
  double value = 0.0;
};
struct ZerosInit {};
struct HeUniformInit {};
struct HeNormalInit {};
struct GlorotUniformInit {};
struct GlorotNormalInit {};
using Init = std::variant<UniformInit, NormalInit, ConstantInit, ZerosInit, HeUniformInit, HeNormalInit,
                          GlorotUniformInit, GlorotNormalInit>;

/// Height first, as in kernel: [5, 3].
using Extent2 = std::array<std::int64_t, 2>;

/// `valid`: none. `same`: output = ⌈input / stride⌉, the odd row at the bottom and right. Else rows and
/// columns.
struct Padding {
  enum class Kind : std::uint8_t { valid, same, numbers } kind = Kind::valid;
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;  ///< for Kind::numbers
};

struct Conv2d {
  std::int64_t filters = 0;
  Extent2 kernel{};
  Extent2 stride{1, 1};
  Padding padding;
  bool bias = true;
  Init init = GlorotUniformInit{};
  Init bias_init = ZerosInit{};
};
struct MaxPool {
  Extent2 size{};
  Extent2 stride{};  ///< {0, 0}: the size
  Padding padding;   ///< padded cells never win
};
struct AvgPool {
  Extent2 size{};
  Extent2 stride{};  ///< {0, 0}: the size
  Padding padding;   ///< padded cells do not count in the mean
};
struct Dense {
  std::int64_t units = 0;
  bool bias = true;
  Init init = GlorotUniformInit{};
  Init bias_init = ZerosInit{};
};
struct Relu {};
struct Tanh {};
struct Sigmoid {};
struct Flatten {};
struct Dropout {
  double rate = 0.5;  ///< share of activations set to zero in training; the others are divided by 1 - rate
};
using LayerSpec = std::variant<Conv2d, MaxPool, AvgPool, Dense, Relu, Tanh, Sigmoid, Flatten, Dropout>;

struct Layer {
  std::string name;  ///< as given, or kind and count: "conv2d_1", "dense_2"; unique
  LayerSpec spec;
  Mark mark;
};

/// Both take integer labels; mean_squared_error compares with their one-hot vectors and averages over the
/// outputs.
enum class Loss : std::uint8_t { softmax_cross_entropy, mean_squared_error };

struct Sgd {
  double learning_rate = 0.01;
  double momentum = 0.0;
  bool nesterov = false;
  double weight_decay = 0.0;  ///< L2: adds weight_decay · w to the gradient
};
struct AdamW {
  double learning_rate = 0.001;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;  ///< decoupled: w ← w − learning_rate · weight_decay · w
};
using Optimizer = std::variant<Sgd, AdamW>;

struct ConstantSchedule {};
struct StepSchedule {
  std::int64_t every = 10;  ///< epochs
  double factor = 0.1;      ///< multiplies the rate after each `every` epochs
};
struct ExponentialSchedule {
  double factor = 0.95;  ///< multiplies the rate after each epoch
};
struct CosineSchedule {
  double final_factor = 0.0;  ///< of the base rate, reached at the last step
};
struct LinearSchedule {
  double final_factor = 0.0;  ///< of the base rate, reached at the last step
};
struct Schedule {
  std::variant<ConstantSchedule, StepSchedule, ExponentialSchedule, CosineSchedule, LinearSchedule> kind;
  std::int64_t warmup_steps = 0;  ///< the rate rises linearly over so many first steps
};

/// lockstep: one reduction tree, the same bits on any number of ranks and threads. run: MPI_Allreduce, whose
/// order of additions is the library's own.
enum class Reproducibility : std::uint8_t { lockstep, run };

/// The mean of weights along the last part of a training, which is validated and saved instead of the last
/// weights: P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI
/// 2018.
struct Average {
  std::int64_t from_epoch = 1;
  std::int64_t every_steps = 0;  ///< steps from one summand to the next; 0: the ends of epochs
};

struct Training {
  std::int64_t epochs = 0;
  std::int64_t batch = 0;   ///< samples of one step, over all ranks
  std::int64_t shards = 8;  ///< a power of two; at least the number of ranks
  Reproducibility reproducibility = Reproducibility::lockstep;
  std::int64_t watchdog_seconds = 300;  ///< without a sign of a rank, or of progress; 0: no watchdog
  std::int64_t validate_every = 1;      ///< epochs; the last one is validated in any case
  std::optional<Average> average;
};

/// What a training does when a checkpoint cannot be written.
enum class OnWriteFailure : std::uint8_t { go_on, stop };

/// When checkpoints are taken, besides at a stop and at the end. 0 leaves a rule out.
struct Checkpoint {
  std::int64_t every_epochs = 1;
  std::int64_t every_steps = 0;
  double every_minutes = 0;
  std::int64_t keep = 2;  ///< so many of the newest; 0: none is ever written
  bool keep_best = true;  ///< also the one of the highest validation accuracy
  OnWriteFailure on_failure = OnWriteFailure::go_on;
};

/// The stream of hashes by which runs are compared.
struct Digests {
  std::int64_t every = 1;  ///< steps; 0: at the end of epochs only
};

enum class DeviceKind : std::uint8_t { cpu, cuda };

/// What products are computed with; sums are always in fp32.
enum class Precision : std::uint8_t { fp32, tf32, bf16 };

/// What moves tensors between the GPUs of ranks. automatic: NCCL, else mpi, which goes through the hosts'
/// memory. cuda_aware_mpi: MPI is handed addresses of device memory, which another MPI crashes on.
enum class Exchange : std::uint8_t { automatic, nccl, mpi, cuda_aware_mpi };

/// Where a rank's samples wait. automatic: on the device if they take at most half of what is free there.
enum class DataPlace : std::uint8_t { automatic, device, host };

/// How the CPU computes convolutions; another way is another order of additions, so other bits. What a
/// method cannot do is left to oneDNN.
enum class ConvolutionMethod : std::uint8_t {
  automatic,  ///< chosen for each layer by a rule on its extents
  winograd,
  direct,  ///< own kernels
  onednn   ///< and no own kernels for dense layers either
};

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  std::int64_t threads = 0;  ///< of one rank; 0: auto, the rank's share of the cores, at most its shards
  InstructionSet instruction_set = InstructionSet::automatic;
  ConvolutionMethod convolutions = ConvolutionMethod::automatic;
  // Of kind cuda only.
  Precision precision = Precision::fp32;
  std::vector<std::int64_t> gpus;  ///< of the first rank of a host, the second, …; empty: auto, 0, 1, …
  Exchange exchange = Exchange::automatic;
  std::int64_t branches = 0;  ///< shards side by side on a GPU; 0: auto
  DataPlace data = DataPlace::automatic;
};

/// What is done about weights that are not what was written: end the job, fetch them from a rank that has
/// them whole, or nothing.
enum class MemoryChecks : std::uint8_t { stop, repair, off };

struct Checks {
  MemoryChecks memory = MemoryChecks::stop;
  std::int64_t arithmetic_every = 200;  ///< steps from one shard that is computed twice to the next; 0: never
};

enum class Progress : std::uint8_t { automatic, on, off };

struct Output {
  std::string dir = "runs";
  std::string name;  ///< folder within dir; empty: <experiment name>-<UTC time>
  Progress progress = Progress::automatic;
};

struct Experiment {
  std::string source;  ///< path of the file it came from, for messages
  std::string name;
  std::uint64_t seed = 1;
  Data data;
  std::vector<Layer> model;
  Loss loss = Loss::softmax_cross_entropy;
  Optimizer optimizer;
  Schedule schedule;
  Training training;
  Checkpoint checkpoint;
  Digests digests;
  Device device;
  Checks checks;
  Output output;
  std::vector<fault::Fault> faults;
};

}  // namespace lockstep::config
