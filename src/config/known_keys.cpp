#include "config/known_keys.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "config/describe_experiment.h"
#include "config/yaml_tree.h"

namespace lockstep::config {
namespace {

template <class T>
constexpr bool is_init = std::is_same_v<T, Init>;

/// Lists the keys of a default-constructed struct.
class Lister {
 public:
  Lister(std::vector<KeyDoc>& keys, std::string path) : keys_(keys), path_(std::move(path)) {}

  template <class T, class Rule>
  void operator()(const Key& key, const T& member, const Rule& rule) {
    add(key, rule.expectation(), fmt::format("`{}`", emit_inline(rule.encode(member))));
  }

  template <class T>
  void operator()(const Key& key, const T& section) {
    add(key, "a mapping", "its keys' defaults");
    list(below(key.name), section);
  }
  template <class T>
  void operator()(const Key& key, const std::optional<T>& /*section*/) {
    add(key, "a mapping or `none`", "none");
    list(below(key.name), T{});
  }
  template <class... Ts>
  void operator()(const Key& key, const std::variant<Ts...>& member) {
    using Variant = std::variant<Ts...>;
    const std::string_view noun = VariantNoun<Variant>::text;
    add(key, fmt::format("{} {}", noun.starts_with('o') || noun.starts_with('i') ? "an" : "a", noun),
        std::visit([]<class T>(const T&) { return fmt::format("`{}`", Description<T>::name); }, member));
    if constexpr (!is_init<Variant>) Lister(keys_, below(key.name)).alternatives(member, "a bare word");
  }
  void operator()(const Key& key, const std::vector<Layer>& /*layers*/) {
    add(key, "a list of layers", "");
    list(below(key.name) + ".*", Layer{});
    Lister(keys_, below(key.name)).alternatives(LayerSpec{}, "a bare word");
  }
  void operator()(const Key& key, const std::vector<fault::Fault>& /*faults*/) {
    add(key, "a list of faults", "");
    list(below(key.name) + ".*", fault::Fault{});
    Lister(keys_, below(key.name)).alternatives(fault::Spec{}, "a mapping");
  }

  template <class... Ts>
  void one_of(const std::variant<Ts...>& member) {
    alternatives(member, "`{}`");
  }

  /// `nothing` is how an alternative without settings is written.
  template <class... Ts>
  void alternatives(const std::variant<Ts...>& member, std::string_view nothing) {
    for_each_alternative(&member, [&]<class T>(const T* /*type*/) {
      const T value{};
      if constexpr (BareValue<T>) {
        Description<T>::fields(*this, value);
      } else {
        std::vector<KeyDoc> settings;
        const std::string path = below(Description<T>::name);
        Lister lister(settings, path);
        Description<T>::fields(lister, value);
        keys_.push_back({path, settings.empty() ? std::string(nothing) : "a mapping", "", "",
                         std::string(Description<T>::effect)});
        keys_.insert(keys_.end(), settings.begin(), settings.end());
      }
    });
  }

 private:
  template <class T>
  void list(const std::string& path, const T& section) {
    Lister lister(keys_, path);
    Description<T>::fields(lister, section);
  }

  [[nodiscard]] std::string below(std::string_view key) const {
    return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  }

  void add(const Key& key, std::string values, std::string default_value) {
    if (!key.fallback.empty()) default_value = key.fallback;
    if (key.required) default_value = "required";
    keys_.push_back({below(key.name), std::move(values), std::string(key.unit), std::move(default_value),
                     std::string(key.effect)});
  }

  std::vector<KeyDoc>& keys_;
  std::string path_;
};

}  // namespace

std::vector<KeyDoc> known_keys() {
  std::vector<KeyDoc> keys;
  Lister experiment(keys, "");
  const Experiment defaults;
  Description<Experiment>::fields(experiment, defaults);
  Lister(keys, "init").alternatives(Init{}, "a bare word");
  return keys;
}

}  // namespace lockstep::config
