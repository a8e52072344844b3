#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lockstep::config {

/// A key in printed text, and where it and its value stand: offsets into the text, ends excluded.
struct KeyPlace {
  std::string path;      ///< as an override names it: "model.2.init.uniform"
  std::string doc_path;  ///< as known_keys() does: "init.uniform"
  std::size_t key_begin = 0;
  std::size_t value_begin = 0;  ///< of a block, the end of the line with its key
  std::size_t value_end = 0;
  [[nodiscard]] bool is_block(const std::string& text) const { return text[value_begin] == '\n'; }
};

/// Every key of an experiment as print() writes it.
std::vector<KeyPlace> find_keys(const std::string& printed);

/// "x.yaml:LINE:COLUMN" of an offset.
std::string place_name(const std::string& text, std::size_t offset);

}  // namespace lockstep::config
