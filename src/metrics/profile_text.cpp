#include "metrics/profile_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "metrics/console_text.h"
#include "metrics/format.h"

namespace lockstep::metrics {
namespace {

constexpr int place_width = 6, column_width = 8;

std::string column(double milliseconds) {
  return fmt::format(" {:>{}.3f}", milliseconds, column_width);
}

std::string columns(std::initializer_list<double> milliseconds) {
  std::string text;
  for (const double value : milliseconds) text += column(value);
  return text;
}

std::string heads(std::initializer_list<std::string_view> names) {
  std::string text;
  for (const std::string_view name : names) text += fmt::format(" {:>{}}", name, column_width);
  return text;
}

/// What the main thread alone does is blank for the others.
std::string line_of(const ProfileRecord::Thread& thread, const ProfileRecord::Rank& rank) {
  const bool is_main = thread.thread == 0;
  const double idle = std::max(0.0, rank.computing - thread.busy());
  std::string text =
      is_main ? fmt::format("{:>{}}", thread.rank, place_width) : std::string(place_width, ' ');
  text += fmt::format("{:>{}}", thread.thread, place_width + 2);
  text += is_main ? column(rank.loading) : std::string(1 + column_width, ' ');
  text += columns({thread.packing, thread.forward, thread.backward, thread.adding, thread.checking,
                   thread.fetching, idle});
  if (is_main)
    text +=
        columns({rank.status, rank.exchange, rank.update, rank.gather, rank.rest, rank.step(), rank.waiting});
  return text + "\n";
}

}  // namespace

std::string profile_text(const ProfileRecord& record, bool colour) {
  std::string text = fmt::format("\n{}: milliseconds a step, means of {}\n",
                                 styled("profile", Style::bold, colour), counted(record.steps, "step"));
  text += styled(fmt::format("{:>{}}{:>{}}", "rank", place_width, "thread", place_width + 2) +
                     heads({"load", "pack", "forward", "backward", "add", "check", "fetch", "idle", "status",
                            "exchange", "update", "gather", "rest", "step", "waiting"}),
                 Style::bold, colour) +
          "\n";
  for (const ProfileRecord::Thread& thread : record.threads)
    text += line_of(thread, record.ranks[static_cast<std::size_t>(thread.rank)]);
  if (record.layers.empty()) return text;

  std::size_t width = std::string_view("layer").size();
  for (const ProfileRecord::Layer& layer : record.layers) width = std::max(width, layer.name.size());
  const std::string layer_heads = fmt::format("  {:<{}}", "layer", width) + heads({"forward", "backward"});
  text += fmt::format("\n{}  all ranks and threads together\n", styled(layer_heads, Style::bold, colour));
  for (const ProfileRecord::Layer& layer : record.layers)
    text += fmt::format("  {:<{}}{}\n", layer.name, width, columns({layer.forward, layer.backward}));
  return text;
}

}  // namespace lockstep::metrics
