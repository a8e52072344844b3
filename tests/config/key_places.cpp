#include "key_places.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace lockstep::config {
namespace {

/// Reads the two styles that print() uses: blocks at the first two levels, flow below.
class Finder {
 public:
  explicit Finder(const std::string& text) : text_(text) {}

  std::vector<KeyPlace> find() {
    std::string section;
    int item = -1;
    while (at_ < text_.size()) {
      const std::size_t line_end = text_.find('\n', at_);
      const bool is_top = text_[at_] != ' ';
      const bool is_item = text_.compare(at_, 4, "  - ") == 0;
      at_ += is_top ? 0 : is_item ? 4 : 2;
      item = is_item ? item + 1 : -1;
      const std::string key = text_.substr(at_, text_.find_first_of(":\n", at_) - at_);
      if (is_top) {
        section = key;
        take_key("", "");
      } else if (is_item) {
        take_item(section, fmt::format("{}.{}", section, item));
      } else {
        take_key(section, section);
      }
      EXPECT_EQ(at_, line_end) << "the scanner lost its way in: " << text_.substr(at_, 80);
      at_ = line_end + 1;
    }
    return std::move(keys_);
  }

 private:
  /// A key and its value; `path` and `doc_path` are those of the mapping around it.
  void take_key(const std::string& path, const std::string& doc_path) {
    KeyPlace place;
    place.key_begin = at_;
    at_ = text_.find(':', at_);
    const std::string key = text_.substr(place.key_begin, at_ - place.key_begin);
    place.path = path.empty() ? key : fmt::format("{}.{}", path, key);
    place.doc_path = doc_path.empty() ? key : fmt::format("{}.{}", doc_path, key);
    if (key == "name" && doc_path.starts_with("model.")) place.doc_path = "model.*.name";
    if ((key == "rank" || key == "step") && doc_path.starts_with("faults."))
      place.doc_path = "faults.*." + key;
    ++at_;
    if (text_[at_] == ' ') ++at_;
    place.value_begin = at_;
    const std::size_t index = keys_.size();
    keys_.push_back(place);
    take_value(place.path, key == "init" || key == "bias_init" ? "init" : place.doc_path);
    keys_[index].value_end = at_;
  }

  /// "kind: {settings}", where overrides do not name the kind.
  void take_item(const std::string& section, const std::string& path) {
    const std::size_t kind_begin = at_;
    at_ = text_.find(':', at_);
    const std::string doc_path = section + "." + text_.substr(kind_begin, at_ - kind_begin);
    at_ += 2;
    const std::size_t value_begin = at_;
    take_value(path, doc_path);
    keys_.push_back({path, doc_path, kind_begin, value_begin, at_});
  }

  void take_value(const std::string& path, const std::string& doc_path) {
    if (text_[at_] == '{') {
      ++at_;
      while (text_[at_] != '}') {
        take_key(path, doc_path);
        if (text_[at_] == ',') at_ += 2;
      }
      ++at_;
      return;
    }
    for (int depth = 0; at_ < text_.size() && text_[at_] != '\n'; ++at_) {
      if (depth == 0 && (text_[at_] == ',' || text_[at_] == '}')) break;
      depth += text_[at_] == '[' ? 1 : text_[at_] == ']' ? -1 : 0;
    }
  }

  const std::string& text_;
  std::size_t at_ = 0;
  std::vector<KeyPlace> keys_;
};

}  // namespace

std::vector<KeyPlace> find_keys(const std::string& printed) {
  return Finder(printed).find();
}

std::string place_name(const std::string& text, std::size_t offset) {
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
  const std::size_t line_begin = offset == 0 ? 0 : text.rfind('\n', offset - 1) + 1;
  return fmt::format("x.yaml:{}:{}", line, offset - line_begin + 1);
}

}  // namespace lockstep::config
