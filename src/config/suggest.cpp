#include "config/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <utility>
#include <vector>

namespace lockstep::config {
namespace {

/// Optimal string alignment: the fewest insertions, deletions, replacements and swaps of neighbours, no part
/// edited twice.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> current(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({last[j] + 1, current[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, current);
  }
  return last[b.size()];
}

using Saying = std::pair<std::string_view, std::string_view>;

std::string_view second_of(std::span<const Saying> sayings, std::string_view first) {
  const auto known = std::ranges::find(sayings, first, &Saying::first);
  return known == sayings.end() ? "" : known->second;
}

/// What other programs call the same things.
constexpr std::array<Saying, 23> synonyms{{
    {"batch_size", "batch"},   {"num_epochs", "epochs"},     {"n_epochs", "epochs"},
    {"lr", "learning_rate"},   {"conv", "conv2d"},           {"convolution", "conv2d"},
    {"kernel_size", "kernel"}, {"out_channels", "filters"},  {"linear", "dense"},
    {"fc", "dense"},           {"fully_connected", "dense"}, {"out_features", "units"},
    {"maxpool", "max_pool"},   {"maxpool2d", "max_pool"},    {"max_pooling2d", "max_pool"},
    {"avgpool2d", "avg_pool"}, {"average_pool", "avg_pool"}, {"average_pooling2d", "avg_pool"},
    {"rotation", "rotate"},    {"translate", "shift"},       {"random_seed", "seed"},
    {"val", "validation"},     {"num_threads", "threads"},
}};

constexpr std::string_view no_softmax = "leave it out, the loss softmax_cross_entropy takes raw scores";
constexpr std::string_view knows_inputs =
    "what a layer takes in follows from the data and the layers before it";
constexpr std::string_view fetches =
    "samples are fetched while others are computed, by as many threads as that takes";
constexpr std::string_view scales_only = "inputs are multiplied by data.scale, and nothing is subtracted";
constexpr std::string_view holds_back =
    "to hold samples back, let data.train.rows take some and data.validation, with other rows, the rest";
constexpr std::array<Saying, 12> advices{{
    {"softmax", no_softmax},
    {"log_softmax", no_softmax},
    {"activation", "relu, tanh and sigmoid are layers of their own, as in '- relu'"},
    {"warmup_epochs", "give schedule.warmup_steps; 'lockstep plan' says how many steps an epoch has"},
    {"in_channels", knows_inputs},
    {"in_features", knows_inputs},
    {"input_shape", knows_inputs},
    {"num_workers", fetches},
    {"prefetch", fetches},
    {"normalize", scales_only},
    {"validation_split", holds_back},
    {"val_split", holds_back},
}};

/// Empty if it is not among `words`.
std::string_view synonym_of(std::string_view typed, std::span<const std::string_view> words) {
  const std::string_view known = second_of(synonyms, typed);
  return std::ranges::find(words, known) != words.end() ? known : "";
}

std::string in_lower_case(std::string_view typed) {
  std::string lower(typed);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

std::string_view nearest(std::string_view typed, std::span<const std::string_view> words) {
  // A longer word can be no slip of any key, and would be slow to compare.
  constexpr std::size_t longest = 64;
  if (typed.size() > longest) return {};
  const std::string lower = in_lower_case(typed);
  if (const std::string_view synonym = synonym_of(lower, words); !synonym.empty()) return synonym;
  std::string_view best;
  std::size_t best_distance = longest;
  for (const std::string_view word : words) {
    const std::size_t apart = distance(lower, word);
    const std::size_t tolerated = std::max<std::size_t>(1, std::min(typed.size(), word.size()) / 3);
    if (apart <= tolerated && apart < best_distance) {
      best = word;
      best_distance = apart;
    }
  }
  return best;
}

std::string_view advice_on(std::string_view typed) {
  return second_of(advices, in_lower_case(typed));
}

std::string join_words(std::span<const std::string_view> words, std::string_view conjunction) {
  std::string joined;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) joined += i + 1 == words.size() ? fmt::format(" {} ", conjunction) : ", ";
    joined += words[i];
  }
  return joined;
}

}  // namespace lockstep::config
