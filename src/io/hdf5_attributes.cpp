#include "io/hdf5_attributes.h"

#include <algorithm>

namespace lockstep::io::hdf5 {
namespace {

constexpr std::size_t longest_text = std::size_t{1} << 16U;  // of what the library stores in a header

void write(const NewFile& file, hid_t object, const std::string& name, hid_t type, const void* value) {
  const Dataspace scalar(H5Screate(H5S_SCALAR));
  const Attribute attribute(H5Acreate2(object, name.c_str(), type, scalar.get(), H5P_DEFAULT, H5P_DEFAULT));
  if (!attribute || H5Awrite(attribute.get(), type, value) < 0) file.fail_to_write();
}

Attribute open(hid_t object, const std::string& name) {
  if (H5Aexists(object, name.c_str()) <= 0) return Attribute();
  Attribute attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT));
  if (!attribute) return attribute;
  const Dataspace space(H5Aget_space(attribute.get()));
  if (!space || H5Sget_simple_extent_npoints(space.get()) != 1) attribute.reset();
  return attribute;
}

}  // namespace

void write_attribute(const NewFile& file, hid_t object, const std::string& name, std::string_view text) {
  const Datatype type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.get(), std::max<std::size_t>(text.size(), 1));
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  const std::string value = text.empty() ? std::string(1, '\0') : std::string(text);
  write(file, object, name, type.get(), value.data());
}

void write_attribute(const NewFile& file, hid_t object, const std::string& name, std::int64_t value) {
  const Datatype type(H5Tcopy(H5T_STD_I64LE));
  write(file, object, name, type.get(), &value);
}

std::optional<std::string> read_text(hid_t object, const std::string& name) {
  const Attribute attribute = open(object, name);
  if (!attribute) return std::nullopt;
  const Datatype type(H5Aget_type(attribute.get()));
  if (!type || H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0)
    return std::nullopt;
  const std::size_t size = H5Tget_size(type.get());
  if (size == 0 || size > longest_text) return std::nullopt;
  std::string text(size, '\0');
  if (H5Aread(attribute.get(), type.get(), text.data()) < 0) return std::nullopt;
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

std::optional<std::int64_t> read_integer(hid_t object, const std::string& name) {
  const Attribute attribute = open(object, name);
  if (!attribute) return std::nullopt;
  const Datatype type(H5Aget_type(attribute.get()));
  std::int64_t value = 0;
  if (!type || H5Tget_class(type.get()) != H5T_INTEGER || H5Tget_size(type.get()) > sizeof value ||
      H5Aread(attribute.get(), H5T_NATIVE_INT64, &value) < 0)
    return std::nullopt;
  return value;
}

}  // namespace lockstep::io::hdf5
