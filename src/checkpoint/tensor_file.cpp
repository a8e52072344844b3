#include "checkpoint/tensor_file.h"

#include <algorithm>
#include <fstream>
#include <string_view>
#include <utility>

#include "io/hdf5_array.h"
#include "io/hdf5_attributes.h"
#include "io/hdf5_seal.h"

namespace lockstep::checkpoint {
namespace {

namespace hdf5 = io::hdf5;

bool is_tensor(const std::string& name) {
  return name.starts_with("/weights/") || name.starts_with("/average/") || name.starts_with("/optimizer/");
}

}  // namespace

TensorFile::TensorFile(std::string path, const Format& format)
    : path_(std::move(path)), file_(open_checked(path_, format)) {
  for (const std::string& name : hdf5::dataset_names(file_))
    if (is_tensor(name)) names_.push_back(name.substr(1));
  std::ranges::sort(names_);
}

Shape TensorFile::shape(const std::string& name) const {
  return hdf5::Array(file_, path_, "/" + name).shape();
}

std::vector<float> TensorFile::read(const std::string& name) const {
  const hdf5::Array array(file_, path_, "/" + name);
  std::vector<float> values(static_cast<std::size_t>(array.shape().count()));
  read_array(array, DType::f32, values.data());
  return values;
}

std::optional<std::string> sealed_format(const std::string& path) {
  if (!hdf5::has_seal(path)) return std::nullopt;
  hdf5::check_seal(path, "a file of Lockstep");
  return hdf5::read_text(hdf5::open_file(path).get(), "format");
}

}  // namespace lockstep::checkpoint
