#include "train/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/log.h"
#include "comm/devices_of_host.h"
#include "comm/nccl_version.h"
#include "comm/watchdog.h"
#include "device/accelerator.h"
#include "io/atomic_file.h"
#include "train/arithmetic.h"
#include "train/build_info.h"
#include "train/device_checks.h"
#include "train/device_trainings.h"
#include "train/library_versions.h"

namespace lockstep::train {
namespace {

using Json = nlohmann::ordered_json;

struct Diagnosis {
  std::vector<std::pair<std::string, std::string>> libraries;  ///< and their versions
  std::string driver;                                          ///< empty where there is none
  std::vector<device::DeviceFacts> devices;                    ///< of rank 0's host
  std::optional<std::string> no_device;                        ///< why there is none to use
  std::int64_t free_bytes = 0;                                 ///< of rank 0's device
  std::vector<Check> checks;
  std::vector<Speed> speeds;
  std::vector<std::string> not_run;
  std::vector<TrainingTime> trainings;
  std::optional<std::string> ended_by;  ///< a failure after which nothing more could be examined
};

void print_row(std::string_view name, std::string_view value) {
  fmt::print("  {:<46} {}\n", name, value);
  std::fflush(stdout);  // what hangs or ends everything comes behind it
}

/// What failed on some rank counts as failed. Rank 0 keeps it, and prints it. Collective.
void add(comm::World& world, const Check& own, Diagnosis& diagnosis) {
  world.activity().progress();
  std::string failures;
  const std::vector<std::string> all = world.all_gather(own.passed ? "" : own.detail);
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty())
      failures += fmt::format("{}rank {} on {}: {}", failures.empty() ? "" : "; ", rank, world.hosts()[rank],
                              all[rank]);
  const Check check = failures.empty() ? own : Check{own.name, false, failures};
  if (world.is_root()) {
    if (diagnosis.checks.empty()) fmt::print("checks\n");
    print_row(check.name, fmt::format("{}: {}", check.passed ? "ok" : "FAILED", check.detail));
  }
  diagnosis.checks.push_back(check);
}

/// The experiments' settings of devices are one, the command line's; without an experiment, the defaults.
config::Device device_settings(const DoctorOptions& options) {
  if (!options.experiments.empty()) return options.experiments.front().device;
  config::Device settings;
  settings.kind = config::DeviceKind::cuda;
  return settings;
}

/// The rank's device; none, with the reason, where some rank has none. Collective.
std::unique_ptr<device::Accelerator> find_device(comm::World& world, const config::Device& settings,
                                                 Diagnosis& diagnosis) {
  std::unique_ptr<device::Accelerator> accelerator;
  try {
    world.agree([&] { diagnosis.devices = device::visible_devices(); });
    const device::DeviceFacts own = comm::device_of_rank(world, diagnosis.devices, settings);
    world.agree([&] { accelerator = device::make_accelerator({.index = own.index, .precision = {}}); });
    diagnosis.free_bytes = accelerator->facts().free_bytes;
  } catch (const comm::AgreedError& error) {
    if (error.code() != ExitCode::no_device) throw;
    diagnosis.no_device = error.what();
  }
  return accelerator;
}

/// Of ranks together: what they agree on has failed on all of them. Anything else must end the job, as the
/// others wait.
Check attempt_together(const std::string& name, const std::function<Check()>& check) {
  try {
    Check done = check();
    done.name = name;
    return done;
  } catch (const comm::AgreedError& error) {
    return {name, false, error.what()};
  }
}

void examine(comm::World& world, const config::Device& settings, device::Accelerator& accelerator,
             Diagnosis& diagnosis) {
  const auto take = [&](const Check& check) { add(world, check, diagnosis); };
  check_operations(accelerator, take);
  check_networks(accelerator, take);
  const std::string among = fmt::format("among ranks: {}", world.size());
  take(attempt_together("exchange " + among,
                        [&] { return check_exchange(world, accelerator, settings.exchange); }));
  take(attempt("copies of many bytes", [&] {
    diagnosis.speeds = measure_copies(accelerator);
    return Check{"copies of many bytes", true, "done"};
  }));
  if (world.size() == 1) return;
  take(attempt_together("all-reduce " + among,
                        [&] { return check_all_reduce(world, accelerator, settings.exchange); }));
  take(attempt_together("exchanges of many bytes", [&] {
    for (Speed& speed : measure_exchanges(world, accelerator, settings.exchange))
      diagnosis.speeds.push_back(std::move(speed));
    return Check{"", true, "done"};
  }));
}

void train(comm::World& world, const DoctorOptions& options, Diagnosis& diagnosis) {
  for (const config::Experiment& experiment : options.experiments)
    add(world,
        attempt_together(fmt::format("{}, {} steps", experiment.name, compared_steps),
                         [&] { return compare_training(world, experiment); }),
        diagnosis);
  if (!options.published) return;
  for (config::Experiment experiment : options.experiments)
    for (const auto& [reproducibility, mode] :
         {std::pair{config::Reproducibility::run, "run"}, {config::Reproducibility::lockstep, "lockstep"}}) {
      experiment.training.reproducibility = reproducibility;
      add(world,
          attempt_together(fmt::format("{} in full, {}", experiment.name, mode),
                           [&] {
                             diagnosis.trainings.push_back(time_training(world, experiment));
                             return Check{"", true, "done"};
                           }),
          diagnosis);
    }
}

std::string text_of(const TrainingTime& training) {
  std::string text = fmt::format("{:.2f} s for {} epochs", training.seconds, training.epochs);
  if (training.val_accuracy)
    text += fmt::format(", validation accuracy {:.2f}%", 100 * *training.val_accuracy);
  if (training.known)
    text +=
        fmt::format(" (published: {} s; aim with run: {} s)", training.known->published, training.known->aim);
  return text;
}

/// What is known before anything is examined.
void print_facts(const Diagnosis& diagnosis) {
  fmt::print("Lockstep {} ({})\n", build_info().version, build_info().revision);
  for (const auto& [name, version] : diagnosis.libraries) print_row(name, version);
  print_row("driver", diagnosis.driver.empty() ? "none" : "for CUDA " + diagnosis.driver);
  for (const device::DeviceFacts& device : diagnosis.devices)
    print_row(
        fmt::format("GPU {}", device.index),
        fmt::format(
            "{}, {}, {:.1f} GB, {}{}", device.name, device.architecture,
            static_cast<double>(device.memory_bytes) / 1e9, device.unique_id,
            device.peers.empty() ? "" : fmt::format(", reaches GPUs {}", fmt::join(device.peers, ", "))));
  if (diagnosis.free_bytes > 0)
    print_row("free on rank 0's GPU",
              fmt::format("{:.1f} GB", static_cast<double>(diagnosis.free_bytes) / 1e9));
  if (diagnosis.no_device) print_row("no GPU for each rank", *diagnosis.no_device);
}

/// What comes behind the checks.
void print_figures(const Diagnosis& diagnosis) {
  if (!diagnosis.speeds.empty()) fmt::print("speed\n");
  for (const Speed& speed : diagnosis.speeds)
    print_row(speed.name, fmt::format("{:.2f} {}", speed.value, speed.unit));
  if (!diagnosis.trainings.empty()) fmt::print("trainings in full\n");
  for (const TrainingTime& training : diagnosis.trainings)
    print_row(fmt::format("{}, {}", training.experiment, training.reproducibility), text_of(training));
  for (const std::string& experiment : diagnosis.not_run) print_row("not run", experiment);
}

std::string json_of(const Diagnosis& diagnosis) {
  Json json{{"version", build_info().version}, {"revision", build_info().revision}};
  json["libraries"] = Json::object();
  for (const auto& [name, version] : diagnosis.libraries) json["libraries"][name] = version;
  json["free_bytes"] = diagnosis.free_bytes;
  json["driver"] = diagnosis.driver;
  json["no_device"] = diagnosis.no_device ? Json(*diagnosis.no_device) : Json();
  json["ended_by"] = diagnosis.ended_by ? Json(*diagnosis.ended_by) : Json();
  for (const char* key : {"devices", "checks", "speeds", "trainings"}) json[key] = Json::array();
  for (const device::DeviceFacts& device : diagnosis.devices)
    json["devices"].push_back({{"index", device.index},
                               {"name", device.name},
                               {"architecture", device.architecture},
                               {"memory_bytes", device.memory_bytes},
                               {"unique_id", device.unique_id},
                               {"board", device.board},
                               {"peers", device.peers}});
  for (const Check& check : diagnosis.checks)
    json["checks"].push_back({{"name", check.name}, {"passed", check.passed}, {"detail", check.detail}});
  for (const Speed& speed : diagnosis.speeds)
    json["speeds"].push_back({{"name", speed.name}, {"value", speed.value}, {"unit", speed.unit}});
  for (const TrainingTime& training : diagnosis.trainings)
    json["trainings"].push_back(
        {{"experiment", training.experiment},
         {"reproducibility", training.reproducibility},
         {"epochs", training.epochs},
         {"seconds", training.seconds},
         {"val_accuracy", training.val_accuracy ? Json(*training.val_accuracy) : Json()},
         {"published_seconds", training.known ? Json(training.known->published) : Json()},
         {"aim_seconds", training.known ? Json(training.known->aim) : Json()}});
  json["not_run"] = diagnosis.not_run;
  constexpr int indent = 2;
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// On rank 0.
void finish(const DoctorOptions& options, const Diagnosis& diagnosis) {
  print_figures(diagnosis);
  if (!options.json) return;
  io::AtomicFile file(*options.json);
  file.write(json_of(diagnosis));
  file.commit();
}

/// The same after a failure that is being reported: one more must not take its place.
void finish_early(const DoctorOptions& options, const Diagnosis& diagnosis) {
  try {
    finish(options, diagnosis);
  } catch (const std::exception& error) {
    log::write_warning(error.what());
  }
}

}  // namespace

ExitCode run_doctor(comm::World& world, const DoctorOptions& options) {
  device::prepare_cpu_thread();
  const config::Device settings = device_settings(options);
  pin_instruction_set(world, settings);
  Diagnosis diagnosis;
  diagnosis.not_run = options.not_run;
  world.agree([&] {  // first: a device that fails takes its libraries along
    diagnosis.libraries = device::accelerator_libraries();
    if (const std::string nccl = comm::nccl_version(); !nccl.empty())
      diagnosis.libraries.emplace_back("NCCL", nccl);
    diagnosis.driver = device::accelerator_driver();
  });
  auto accelerator = find_device(world, settings, diagnosis);
  if (world.is_root()) print_facts(diagnosis);
  if (accelerator) {
    constexpr std::int64_t patience = 120;  // seconds
    const comm::Watchdog watchdog(world, patience);
    try {
      examine(world, settings, *accelerator, diagnosis);
      accelerator.reset();
      train(world, options, diagnosis);
    } catch (const std::exception& error) {
      diagnosis.ended_by = error.what();
      if (world.is_root()) finish_early(options, diagnosis);
      throw;
    }
  }
  if (world.is_root()) finish(options, diagnosis);
  if (diagnosis.no_device) return ExitCode::no_device;
  const bool passed = std::ranges::all_of(diagnosis.checks, &Check::passed);
  return passed ? ExitCode::success : ExitCode::internal;
}

}  // namespace lockstep::train
