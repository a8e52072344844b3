#include "checkpoint/snapshot_facts.h"

#include <fmt/format.h>

#include <charconv>
#include <concepts>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "io/hash.h"
#include "io/hdf5_attributes.h"

namespace lockstep::checkpoint {
namespace {

namespace hdf5 = io::hdf5;

/// The one list of attributes: calls f(name, member) for each.
template <class AnySnapshot, class F>
void each_fact(AnySnapshot& snapshot, F&& f) {
  f("data", snapshot.data);
  f("arithmetic", snapshot.arithmetic);
  f("epoch", snapshot.epoch);
  f("step", snapshot.step);
  f("global_step", snapshot.global_step);
  f("seconds", snapshot.seconds);
  f("last_loss", snapshot.last_loss);
  f("val_accuracy", snapshot.val_accuracy);
  f("sample_digest", snapshot.sample_digest);
  f("weights_digest", snapshot.weights_digest);
  f("optimizer_digest", snapshot.optimizer_digest);
  f("average_count", snapshot.average_count);
  f("average_digest", snapshot.average_digest);
}

// Numbers as text that gives the same bits again; nothing when a text is no such number.

std::string to_text(std::int64_t value) {
  return fmt::format("{}", value);
}
std::string to_text(double value) {
  return fmt::format("{}", value);
}
std::string to_text(const std::string& text) {
  return text;
}
std::string to_text(std::uint64_t digest) {
  return fmt::format("{:016x}", digest);
}

template <class T, class... Base>
std::optional<T> parse(std::string_view text, Base... base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base...);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Writes attributes. Integers are stored as such.
struct Write {
  const hdf5::NewFile& file;
  Contents& contents;

  template <class T>
  void operator()(const char* name, const T& value) const {
    contents[name] = to_text(value);
    if constexpr (std::same_as<T, std::int64_t>)
      hdf5::write_attribute(file, file.id(), name, value);
    else
      hdf5::write_attribute(file, file.id(), name, contents[name]);
  }
  template <class T>
  void operator()(const char* name, const std::optional<T>& value) const {
    if (value) (*this)(name, *value);
  }
};

/// Reads attributes. One that may be missing is protected by the checksum over all of them.
struct Read {
  const hdf5::File& file;
  const std::string& path;
  Contents& contents;

  void operator()(const char* name, std::int64_t& value) const {
    const auto stored = hdf5::read_integer(file.get(), name);
    if (!stored) refuse(name);
    contents[name] = to_text(*stored);
    value = *stored;
  }
  void operator()(const char* name, std::string& value) const { value = text(name); }
  void operator()(const char* name, double& value) const { value = parsed(name, parse<double>(text(name))); }
  void operator()(const char* name, std::uint64_t& digest) const {
    constexpr int hexadecimal = 16;
    digest = parsed(name, parse<std::uint64_t>(text(name), hexadecimal));
  }
  template <class T>
  void operator()(const char* name, std::optional<T>& value) const {
    bool is_there = false;
    if constexpr (std::same_as<T, std::int64_t>)
      is_there = hdf5::read_integer(file.get(), name).has_value();
    else
      is_there = hdf5::read_text(file.get(), name).has_value();
    if (is_there) (*this)(name, value.emplace());
  }

 private:
  [[nodiscard]] std::string text(const char* name) const {
    const auto stored = hdf5::read_text(file.get(), name);
    if (!stored) refuse(name);
    contents[name] = *stored;
    return *stored;
  }
  template <class T>
  T parsed(const char* name, std::optional<T> value) const {
    if (!value) refuse(name);
    return *value;
  }
  [[noreturn]] void refuse(const char* name) const {
    fail(ExitCode::bad_data, "{}: its attribute '{}' is missing or damaged", path, name);
  }
};

}  // namespace

std::string checksum_of(const Contents& contents) {
  std::string lines;
  for (const auto& [name, text] : contents) lines += fmt::format("{} {}\n", name, text);
  return io::hash_text(std::as_bytes(std::span(lines)));
}

void write_facts(const hdf5::NewFile& file, const Snapshot& snapshot, Contents& contents) {
  each_fact(snapshot, Write{file, contents});
}

void read_facts(const hdf5::File& file, const std::string& path, Snapshot& snapshot, Contents& contents) {
  each_fact(snapshot, Read{file, path, contents});
}

}  // namespace lockstep::checkpoint
