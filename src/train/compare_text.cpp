#include "train/compare_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep::train {
namespace {

using Row = std::vector<std::string>;

/// Characters of a text in UTF-8.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

/// Columns as wide as what is in them, but for the last of a row.
std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t column = 0; column + 1 < row.size(); ++column)
      widths[column] = std::max(widths[column], width_of(row[column]));
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t column = 0; column + 1 < row.size(); ++column)
      text += row[column] + std::string(widths[column] - width_of(row[column]) + 2, ' ');
    text += row.back() + "\n";
  }
  return text;
}

std::string end_text(const DigestComparison& digests) {
  const bool at_a = digests.equal_through == digests.last_a, at_b = digests.equal_through == digests.last_b;
  if (at_a && at_b) return "where both end";
  if (at_a) return fmt::format("where A ends; B goes on to step {}", digests.last_b);
  if (at_b) return fmt::format("where B ends; A goes on to step {}", digests.last_a);
  return fmt::format("the last that both have a digest of; A goes on to step {}, B to step {}",
                     digests.last_a, digests.last_b);
}

std::string where_text(const DigestComparison& digests, const DigestDifference& first) {
  if (first.step == 0) return "different from the start";
  const std::string epoch = first.epoch_a == first.epoch_b
                                ? fmt::format("epoch {}", first.epoch_a)
                                : fmt::format("epoch {} of A, {} of B", first.epoch_a, first.epoch_b);
  if (digests.is_pinned()) return fmt::format("different from step {} on ({})", first.step, epoch);
  if (digests.equal_through)
    return fmt::format("different, first between steps {} and {} ({})", *digests.equal_through, first.step,
                       epoch);
  return fmt::format("different at step {} ({}), the first that both have a digest of", first.step, epoch);
}

Row run_row(std::string_view letter, const ComparedRun& run) {
  const std::string_view status =
      run.status.empty() ? "not ended: it goes on, or was cut off" : std::string_view(run.status);
  return {fmt::format("  {}", letter), run.folder.path(), run.setting({"name"}).value_or("?"),
          fmt::format("{}, step {}, digest {:016x}", status, run.digests.back().step,
                      run.digests.back().weights)};
}

Row tensor_row(const TensorDifference& tensor, std::string_view mark) {
  const std::string name = fmt::format("{} {}", mark, tensor.name);
  if (!tensor.shape_b) return {name, fmt::format("only in A: {}", tensor.shape_a->text())};
  if (!tensor.shape_a) return {name, fmt::format("only in B: {}", tensor.shape_b->text())};
  if (!tensor.values)
    return {name, fmt::format("{} in A, {} in B", tensor.shape_a->text(), tensor.shape_b->text())};
  return {name, fmt::format("{} of {}", tensor.values->count, tensor.shape_a->count()),
          fmt::format("by up to {:.3g}", tensor.values->largest),
          fmt::format("first at {}", index_text(*tensor.shape_a, tensor.values->first))};
}

/// Values side by side where they are short.
std::string section(std::string_view title, const std::vector<SetupDifference>& differences) {
  if (differences.empty()) return "";
  constexpr std::size_t longest = 40;
  std::vector<Row> rows{{std::string(title), "A", "B"}};
  std::string long_ones;
  for (const SetupDifference& each : differences) {
    const std::string a = each.a.value_or("-"), b = each.b.value_or("-");
    if (std::max(a.size(), b.size()) <= longest)
      rows.push_back({fmt::format("  {}", each.key), a, b});
    else
      long_ones += fmt::format("  {}\n    A  {}\n    B  {}\n", each.key, a, b);
  }
  if (rows.size() == 1) return fmt::format("\n{}\n{}", title, long_ones);
  return fmt::format("\n{}{}", table(rows), long_ones);
}

}  // namespace

std::string verdict_text(const DigestComparison& digests) {
  if (!digests.first)
    return fmt::format("identical through step {}, {}\n", *digests.equal_through, end_text(digests));
  std::string text = fmt::format("{}: {}\n", where_text(digests, *digests.first), parts_text(*digests.first));
  if (digests.equal_through) text += fmt::format("identical through step {}\n", *digests.equal_through);
  if (!digests.first->weights)
    text += digests.weights_differ
                ? fmt::format("the weights are equal there, and differ at step {}\n", *digests.weights_differ)
                : "the weights are equal, as far as both go\n";
  return text;
}

std::string runs_text(const ComparedRun& a, const ComparedRun& b) {
  return fmt::format("\n{}", table({run_row("A", a), run_row("B", b)}));
}

std::string tensors_text(std::int64_t step, std::span<const TensorDifference> tensors) {
  if (tensors.empty()) return fmt::format("\nall tensors are equal after step {}\n", step);
  std::vector<Row> rows;
  for (const TensorDifference& tensor : tensors) rows.push_back(tensor_row(tensor, rows.empty() ? ">" : " "));
  return fmt::format("\ntensors that differ after step {}, the first of the network marked\n{}", step,
                     table(rows));
}

std::string setup_text(const SetupDifferences& setup) {
  return section("settings", setup.settings) +
         section("data, build, libraries, processor", setup.arithmetic) +
         section("without influence on results", setup.harmless);
}

}  // namespace lockstep::train
