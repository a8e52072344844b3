#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checked_file.h"
#include "tensor/shape.h"

namespace lockstep::checkpoint {

/// The tensors of a file of weights or of a checkpoint, for those who know no model. One thread of a process
/// at a time.
class TensorFile {
 public:
  /// Error(no_input) when the file cannot be opened, Error(bad_data) when it is damaged or of another format.
  TensorFile(std::string path, const Format& format);

  /// "weights/conv1.weight", "average/conv1.weight", "optimizer/velocity/conv1.weight", in alphabetical
  /// order.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  /// Errors as of io::hdf5::Array.
  [[nodiscard]] Shape shape(const std::string& name) const;
  /// The values, rows first to last. Error(bad_data) when they are no floats or do not fit their checksum.
  [[nodiscard]] std::vector<float> read(const std::string& name) const;

 private:
  std::string path_;
  io::hdf5::File file_;
  std::vector<std::string> names_;
};

/// The value of the attribute `format` of a file that Lockstep sealed; nothing when there is no such file.
/// Error(bad_data) when it is damaged.
std::optional<std::string> sealed_format(const std::string& path);

}  // namespace lockstep::checkpoint
