#include "comm/devices_of_host.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "comm/mpi_calls.h"

namespace lockstep::comm {
namespace {

using Place = std::pair<std::string, std::string>;  ///< host, unique id

/// Two ranks of one device.
struct Shared {
  std::size_t first, second;
};

std::string name_of_rank(std::size_t rank, const std::string& host) {
  return rank_on_host(static_cast<int>(rank), host);
}

std::string unique_id(const VisibleDevices& rank, int device) {
  return rank.ids[static_cast<std::size_t>(device)];
}

/// The entry of `gpus` for the rank that comes after `before` others of its host.
int listed_device(std::size_t rank, const VisibleDevices& visible, std::span<const std::int64_t> gpus,
                  std::size_t before) {
  const std::string name = name_of_rank(rank, visible.host);
  if (before >= gpus.size())
    fail(ExitCode::no_device,
         "{} is number {} of the ranks there, but device.gpus lists {}: list a GPU for each rank of a host, "
         "or start fewer on it",
         name, before + 1, gpus.size());
  if (gpus[before] >= std::ssize(visible.ids))
    fail(ExitCode::no_device,
         "device.gpus lists {}, but {} sees {} GPU{}, counted from 0 (CUDA_VISIBLE_DEVICES may hide others)",
         gpus[before], name, visible.ids.size(), visible.ids.size() == 1 ? "" : "s");
  return static_cast<int>(gpus[before]);
}

/// Of those that the fewest ranks have, the first.
int free_device(std::size_t rank, const VisibleDevices& visible, const std::map<Place, int>& users) {
  if (visible.ids.empty())
    fail(ExitCode::no_device,
         "{} sees no GPU (CUDA_VISIBLE_DEVICES may hide them): set device.kind=cpu, or start ranks only "
         "where GPUs are",
         name_of_rank(rank, visible.host));
  const auto count = [&](const std::string& id) {
    const auto found = users.find({visible.host, id});
    return found == users.end() ? 0 : found->second;
  };
  return static_cast<int>(std::ranges::min_element(visible.ids, {}, count) - visible.ids.begin());
}

std::optional<Shared> first_shared(std::span<const VisibleDevices> ranks, std::span<const int> devices) {
  std::map<Place, std::size_t> first_user;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const Place place{ranks[rank].host, unique_id(ranks[rank], devices[rank])};
    const auto [user, is_new] = first_user.emplace(place, rank);
    if (!is_new) return Shared{user->second, rank};
  }
  return std::nullopt;
}

/// "rank 0 and rank 2 on node7 would both compute on GPU 0 there (GPU-…)".
std::string text_of(Shared shared, std::span<const VisibleDevices> ranks, std::span<const int> devices,
                    std::string_view verb) {
  const VisibleDevices& second = ranks[shared.second];
  const int device = devices[shared.second];
  return fmt::format("rank {} and {} {} GPU {} there ({})", shared.first,
                     name_of_rank(shared.second, second.host), verb, device, unique_id(second, device));
}

std::string joined(std::span<const device::DeviceFacts> devices) {
  std::string text;
  for (const device::DeviceFacts& device : devices) text += device.unique_id + '\n';
  return text;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return lines;
}

}  // namespace

std::vector<int> choose_devices(std::span<const VisibleDevices> ranks, std::span<const std::int64_t> gpus,
                                bool may_share) {
  std::vector<int> devices;
  std::map<std::string, std::size_t> ranks_before;
  std::map<Place, int> users;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const VisibleDevices& visible = ranks[rank];
    const std::size_t before = ranks_before[visible.host]++;
    const int device =
        gpus.empty() ? free_device(rank, visible, users) : listed_device(rank, visible, gpus, before);
    ++users[{visible.host, unique_id(visible, device)}];
    devices.push_back(device);
  }
  if (may_share) return devices;
  if (const auto shared = first_shared(ranks, devices))
    fail(ExitCode::no_device,
         "{}: start one rank for each GPU of a host, list others in device.gpus, or choose "
         "device.exchange=mpi, with which ranks may share",
         text_of(*shared, ranks, devices, "would both compute on"));
  return devices;
}

std::string unused_devices(std::span<const VisibleDevices> ranks, std::span<const std::int64_t> gpus) {
  std::map<std::string, std::ptrdiff_t> ranks_of_host;
  for (const VisibleDevices& rank : ranks) ++ranks_of_host[rank.host];
  std::ptrdiff_t most = 0;
  for (const auto& [host, count] : ranks_of_host) most = std::max(most, count);
  if (std::ssize(gpus) <= most) return "";
  return fmt::format(
      "device.gpus lists {} GPUs, but no host has more than {} rank{}: start as many ranks on a host as GPUs "
      "are "
      "to be used there",
      gpus.size(), most, most == 1 ? "" : "s");
}

device::DeviceFacts device_of_rank(World& world, std::span<const device::DeviceFacts> visible,
                                   const config::Device& wanted) {
  std::vector<VisibleDevices> ranks;
  const std::vector<std::string> ids = world.all_gather(joined(visible));
  for (std::size_t rank = 0; rank < ids.size(); ++rank)
    ranks.push_back({world.hosts()[rank], split(ids[rank])});

  const bool may_share =
      wanted.exchange == config::Exchange::mpi || wanted.exchange == config::Exchange::cuda_aware_mpi;
  std::vector<int> devices;
  world.agree([&] { devices = choose_devices(ranks, wanted.gpus, may_share); });
  if (const std::string unused = unused_devices(ranks, wanted.gpus); !unused.empty() && world.is_root())
    log::warning("{}", unused);
  if (const auto shared = first_shared(ranks, devices); shared && world.is_root())
    log::warning("{}: slower than a rank alone, and each needs its own share of the memory",
                 text_of(*shared, ranks, devices, "both compute on"));
  return visible[static_cast<std::size_t>(devices[static_cast<std::size_t>(world.rank())])];
}

}  // namespace lockstep::comm
