#pragma once

#include <span>
#include <string>
#include <string_view>

namespace lockstep::config {

/// The lower-case word that `typed` is most likely to mean: what others call so, or the nearest by
/// insertions, deletions, replacements and swaps of neighbours, the first of equals. Empty when none is near.
std::string_view nearest(std::string_view typed, std::span<const std::string_view> words);

/// What to do instead, where `typed` is a word of other programs for what has no name here: "leave it out,
/// …". Empty for any other.
std::string_view advice_on(std::string_view typed);

/// "a", "a or b", "a, b or c".
std::string join_words(std::span<const std::string_view> words, std::string_view conjunction);

}  // namespace lockstep::config
