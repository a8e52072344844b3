#include "io/hdf5_samples.h"

#include "base/check.h"

namespace lockstep::testing {
namespace {

namespace hdf5 = io::hdf5;

void write_values(const hdf5::Dataset& dataset, const SampleArray& array) {
  const std::int64_t rows = array.rows_written < 0 ? array.shape[0] : array.rows_written;
  std::vector<double> values;
  for (std::int64_t i = 0; i < array.shape.count() / array.shape[0] * rows; ++i)
    values.push_back(array.value(i));
  std::vector<hsize_t> extents(array.shape.extents().begin(), array.shape.extents().end());
  extents[0] = static_cast<hsize_t>(rows);
  const std::vector<hsize_t> starts(extents.size(), 0);
  const hdf5::Dataspace memory(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr));
  const hdf5::Dataspace space(H5Dget_space(dataset.get()));
  check(
      H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, starts.data(), nullptr, extents.data(), nullptr) >= 0,
      "rows can be selected");
  check(
      H5Dwrite(dataset.get(), H5T_NATIVE_DOUBLE, memory.get(), space.get(), H5P_DEFAULT, values.data()) >= 0,
      "rows can be written");
}

}  // namespace

void write_hdf5(const std::string& path, const std::vector<SampleArray>& arrays) {
  hdf5::prepare_library();
  const hdf5::File file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  check(static_cast<bool>(file), "a file can be made");
  const hdf5::PropertyList with_groups(H5Pcreate(H5P_LINK_CREATE));
  H5Pset_create_intermediate_group(with_groups.get(), 1);
  for (const SampleArray& array : arrays) {
    const std::vector<hsize_t> extents(array.shape.extents().begin(), array.shape.extents().end());
    const hdf5::Dataspace space(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr));
    const hdf5::PropertyList creation(H5Pcreate(H5P_DATASET_CREATE));
    if (!array.chunk.empty())
      H5Pset_chunk(creation.get(), static_cast<int>(array.chunk.size()), array.chunk.data());
    if (array.creation) array.creation(creation.get());
    const hdf5::Dataset dataset(H5Dcreate2(file.get(), array.name.c_str(), array.type, space.get(),
                                           with_groups.get(), creation.get(), H5P_DEFAULT));
    check(static_cast<bool>(dataset), "a data set can be made");
    if (array.value && array.shape.count() > 0 && array.rows_written != 0) write_values(dataset, array);
  }
}

}  // namespace lockstep::testing
