#include "train/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "comm/devices_of_host.h"
#include "device/accelerator.h"
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
  std::vector<Check> checks;
  std::vector<Speed> speeds;
  std::vector<TrainingTime> trainings;
};

/// What failed on some rank counts as failed: rank 0 prints.
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

void examine(comm::World& world, const DoctorOptions& options, Diagnosis& diagnosis) {
  const config::Device settings = device_settings(options);
  std::vector<device::DeviceFacts> visible;
  world.agree([&] { visible = device::visible_devices(); });
  diagnosis.devices = visible;
  const device::DeviceFacts own = comm::device_of_rank(world, visible, settings);
  std::unique_ptr<device::Accelerator> accelerator;
  world.agree([&] { accelerator = device::make_accelerator({.index = own.index, .precision = {}}); });
  std::vector<Check> networks;
  world.agree([&] {
    diagnosis.checks = check_operations(*accelerator);
    networks = check_networks(*accelerator);
    diagnosis.speeds = measure_copies(*accelerator);
  });
  diagnosis.checks.insert(diagnosis.checks.end(), networks.begin(), networks.end());
  share(world, diagnosis.checks);
  diagnosis.checks.push_back(check_exchange(world, *accelerator, settings.exchange));
  if (world.size() > 1) diagnosis.speeds.push_back(measure_exchange(world, *accelerator, settings.exchange));
}

void train(comm::World& world, const DoctorOptions& options, Diagnosis& diagnosis) {
  for (const config::Experiment& experiment : options.experiments)
    diagnosis.checks.push_back(compare_training(world, experiment));
  if (!options.published) return;
  for (config::Experiment experiment : options.experiments)
    for (const auto reproducibility : {config::Reproducibility::run, config::Reproducibility::lockstep}) {
      experiment.training.reproducibility = reproducibility;
      diagnosis.trainings.push_back(time_training(world, experiment));
    }
}

std::string text_of(const Diagnosis& diagnosis) {
  std::string text = fmt::format("Lockstep {} ({})\n", build_info().version, build_info().revision);
  const auto row = [&](std::string_view name, std::string_view value) {
    text += fmt::format("  {:<46} {}\n", name, value);
  };
  for (const auto& [name, version] : device::accelerator_libraries()) row(name, version);
  const std::string driver = device::accelerator_driver();
  row("driver", driver.empty() ? "none" : "for CUDA " + driver);
  for (const device::DeviceFacts& device : diagnosis.devices)
    row(fmt::format("GPU {}", device.index),
        fmt::format(
            "{}, {}, {:.1f} GB, {}{}", device.name, device.architecture,
            static_cast<double>(device.memory_bytes) / 1e9, device.unique_id,
            device.peers.empty() ? "" : fmt::format(", reaches GPUs {}", fmt::join(device.peers, ", "))));
  if (diagnosis.no_device) row("no GPU can be used", *diagnosis.no_device);
  if (!diagnosis.checks.empty()) text += "checks against the CPU\n";
  for (const Check& check : diagnosis.checks)
    row(check.name, fmt::format("{}: {}", check.passed ? "ok" : "FAILED", check.detail));
  if (!diagnosis.speeds.empty()) text += "speed\n";
  for (const Speed& speed : diagnosis.speeds)
    row(speed.name, fmt::format("{:.2f} {}", speed.value, speed.unit));
  for (const TrainingTime& training : diagnosis.trainings)
    row(fmt::format("{}, {} epochs, reproducibility: {}", training.experiment, training.epochs,
                    training.reproducibility),
        fmt::format("{:.2f} s{}", training.seconds,
                    training.val_accuracy
                        ? fmt::format(", validation accuracy {:.2f}%", 100 * *training.val_accuracy)
                        : ""));
  return text;
}

std::string json_of(const Diagnosis& diagnosis) {
  Json json{{"version", build_info().version}, {"revision", build_info().revision}};
  json["libraries"] = Json::object();
  for (const auto& [name, version] : device::accelerator_libraries()) json["libraries"][name] = version;
  json["driver"] = device::accelerator_driver();
  json["no_device"] = diagnosis.no_device ? Json(*diagnosis.no_device) : Json();
  for (const char* key : {"devices", "checks", "speeds", "trainings"}) json[key] = Json::array();
  for (const device::DeviceFacts& device : diagnosis.devices)
    json["devices"].push_back({{"index", device.index},
                               {"name", device.name},
                               {"architecture", device.architecture},
                               {"memory_bytes", device.memory_bytes},
                               {"unique_id", device.unique_id},
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
         {"val_accuracy", training.val_accuracy ? Json(*training.val_accuracy) : Json()}});
  constexpr int indent = 2;
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

ExitCode run_doctor(comm::World& world, const DoctorOptions& options) {
  device::prepare_cpu_thread();
  pin_instruction_set(world, device_settings(options));
  Diagnosis diagnosis;
  try {
    examine(world, options, diagnosis);
    train(world, options, diagnosis);
  } catch (const comm::AgreedError& error) {
    if (error.code() != ExitCode::no_device) throw;
    diagnosis.no_device = error.what();
  }
  if (world.is_root()) fmt::print("{}", options.json ? json_of(diagnosis) : text_of(diagnosis));
  if (diagnosis.no_device) return ExitCode::no_device;
  const bool passed = std::ranges::all_of(diagnosis.checks, &Check::passed);
  return passed ? ExitCode::success : ExitCode::internal;
}

}  // namespace lockstep::train
