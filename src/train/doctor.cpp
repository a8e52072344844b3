#include "train/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

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
  std::vector<device::DeviceFacts> devices;  ///< of rank 0's host
  std::optional<std::string> no_device;      ///< why there is none to use
  std::int64_t free_bytes = 0;               ///< of rank 0's device
  std::vector<Check> checks;
  std::vector<Speed> speeds;
  std::vector<std::string> not_run;
  std::vector<TrainingTime> trainings;
};

/// What failed on some rank counts as failed: rank 0 prints. Collective.
void share(comm::World& world, std::vector<Check>& checks) {
  for (Check& check : checks) {
    std::string failures;
    const std::vector<std::string> all = world.all_gather(check.passed ? "" : check.detail);
    for (std::size_t rank = 0; rank < all.size(); ++rank)
      if (!all[rank].empty())
        failures += fmt::format("{}rank {} on {}: {}", failures.empty() ? "" : "; ", rank,
                                world.hosts()[rank], all[rank]);
    if (!failures.empty()) check = {check.name, false, failures};
  }
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
    return check();
  } catch (const comm::AgreedError& error) {
    return {name, false, error.what()};
  }
}

void examine(comm::World& world, const config::Device& settings, device::Accelerator& accelerator,
             Diagnosis& diagnosis) {
  const auto add = [&](std::vector<Check> checks) {
    world.activity().progress();
    share(world, checks);
    diagnosis.checks.insert(diagnosis.checks.end(), checks.begin(), checks.end());
  };
  add(check_operations(accelerator));
  add(check_networks(accelerator));
  add({attempt_together("exchange", [&] { return check_exchange(world, accelerator, settings.exchange); })});
  add({attempt("speed", [&] {
    diagnosis.speeds = measure_copies(accelerator);
    return Check{"copies of many bytes", true, "done"};
  })});
  if (world.size() == 1) return;
  add({attempt_together("all-reduce",
                        [&] { return check_all_reduce(world, accelerator, settings.exchange); })});
  for (Speed& speed : measure_exchanges(world, accelerator, settings.exchange))
    diagnosis.speeds.push_back(std::move(speed));
}

void train(comm::World& world, const DoctorOptions& options, Diagnosis& diagnosis) {
  for (const config::Experiment& experiment : options.experiments)
    diagnosis.checks.push_back(
        attempt_together(experiment.name, [&] { return compare_training(world, experiment); }));
  if (!options.published) return;
  for (config::Experiment experiment : options.experiments)
    for (const auto reproducibility : {config::Reproducibility::run, config::Reproducibility::lockstep}) {
      experiment.training.reproducibility = reproducibility;
      diagnosis.checks.push_back(attempt_together(experiment.name, [&] {
        diagnosis.trainings.push_back(time_training(world, experiment));
        return Check{experiment.name + " in full", true, "done"};
      }));
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

std::string text_of(const Diagnosis& diagnosis) {
  std::string text = fmt::format("Lockstep {} ({})\n", build_info().version, build_info().revision);
  const auto row = [&](std::string_view name, std::string_view value) {
    text += fmt::format("  {:<46} {}\n", name, value);
  };
  for (const auto& [name, version] : device::accelerator_libraries()) row(name, version);
  if (const std::string nccl = comm::nccl_version(); !nccl.empty()) row("NCCL", nccl);
  const std::string driver = device::accelerator_driver();
  row("driver", driver.empty() ? "none" : "for CUDA " + driver);
  for (const device::DeviceFacts& device : diagnosis.devices)
    row(fmt::format("GPU {}", device.index),
        fmt::format(
            "{}, {}, {:.1f} GB, {}{}", device.name, device.architecture,
            static_cast<double>(device.memory_bytes) / 1e9, device.unique_id,
            device.peers.empty() ? "" : fmt::format(", reaches GPUs {}", fmt::join(device.peers, ", "))));
  if (diagnosis.free_bytes > 0)
    row("free on rank 0's GPU", fmt::format("{:.1f} GB", static_cast<double>(diagnosis.free_bytes) / 1e9));
  if (diagnosis.no_device) row("no GPU can be used", *diagnosis.no_device);
  if (!diagnosis.checks.empty()) text += "checks against the CPU\n";
  for (const Check& check : diagnosis.checks)
    row(check.name, fmt::format("{}: {}", check.passed ? "ok" : "FAILED", check.detail));
  if (!diagnosis.speeds.empty()) text += "speed\n";
  for (const Speed& speed : diagnosis.speeds)
    row(speed.name, fmt::format("{:.2f} {}", speed.value, speed.unit));
  if (!diagnosis.trainings.empty()) text += "trainings in full\n";
  for (const TrainingTime& training : diagnosis.trainings)
    row(fmt::format("{}, {}", training.experiment, training.reproducibility), text_of(training));
  for (const std::string& experiment : diagnosis.not_run) row("not run", experiment);
  return text;
}

std::string json_of(const Diagnosis& diagnosis) {
  Json json{{"version", build_info().version}, {"revision", build_info().revision}};
  json["libraries"] = Json::object();
  for (const auto& [name, version] : device::accelerator_libraries()) json["libraries"][name] = version;
  json["libraries"]["NCCL"] = comm::nccl_version();
  json["free_bytes"] = diagnosis.free_bytes;
  json["driver"] = device::accelerator_driver();
  json["no_device"] = diagnosis.no_device ? Json(*diagnosis.no_device) : Json();
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

}  // namespace

ExitCode run_doctor(comm::World& world, const DoctorOptions& options) {
  device::prepare_cpu_thread();
  const config::Device settings = device_settings(options);
  pin_instruction_set(world, settings);
  Diagnosis diagnosis;
  diagnosis.not_run = options.not_run;
  if (auto accelerator = find_device(world, settings, diagnosis)) {
    constexpr std::int64_t patience = 120;  // seconds
    const comm::Watchdog watchdog(world, patience);
    examine(world, settings, *accelerator, diagnosis);
    accelerator.reset();
    train(world, options, diagnosis);
  }
  if (world.is_root()) {
    if (options.json) {
      io::AtomicFile file(*options.json);
      file.write(json_of(diagnosis));
      file.commit();
    }
    fmt::print("{}", text_of(diagnosis));
  }
  if (diagnosis.no_device) return ExitCode::no_device;
  const bool passed = std::ranges::all_of(diagnosis.checks, &Check::passed);
  return passed ? ExitCode::success : ExitCode::internal;
}

}  // namespace lockstep::train
