#pragma once

#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "config/experiment.h"
#include "config/rules.h"

/// The one description of what an experiment file may say. Each struct of experiment.h that a file spells out
/// has a Description: its keys, in the order in which they are printed, each with its member, the rule for
/// its values, and what it means. The parser, the printer and the list of all keys are visitors over it, so
/// no key is written twice. A kind of layer, initialiser, optimizer or schedule without one does not compile.
///
/// A visitor is called as
///   visit(key, member, rule)   for a value;
///   visit(key, member)         for a struct, an optional struct, a variant, or the list of layers or faults;
///   visit.one_of(variant)      where the alternatives of a variant stand among the other keys of a mapping.
namespace lockstep::config {

struct Key {
  std::string_view name;
  std::string_view unit = {};  ///< empty: none
  std::string_view effect;
  bool required = false;
  std::string_view fallback = {};  ///< the default in words, where the member's initialiser does not say it
};

/// Static members: `fields(visit, value)`. For the alternatives of a variant also `name`, its key, and
/// `effect`; `bare` when the name stands before a single value (`uniform: 0.1`) instead of a mapping.
template <class T>
struct Description;

/// Sections that a bare word may stand for: `schedule: cosine` is `schedule: {cosine: {}}`. Their Description
/// says so with `abbreviated`.
template <class T>
concept Abbreviated = requires { Description<T>::abbreviated; };

/// What the alternatives of a variant are called in messages.
template <class Variant>
struct VariantNoun;

template <class T>
concept BareValue = requires { Description<T>::bare; };

/// Calls f with a null pointer to each alternative in turn.
template <class... Ts, class F>
void for_each_alternative(const std::variant<Ts...>* /*type*/, F&& f) {
  (f(static_cast<Ts*>(nullptr)), ...);
}

constexpr Integers<std::int64_t> integers(std::int64_t least, std::int64_t most) {
  return {least, most};
}

}  // namespace lockstep::config
