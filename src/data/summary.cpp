#include "data/summary.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>

#include "base/error.h"
#include "data/manifest.h"
#include "io/hdf5_array.h"
#include "io/hdf5_attributes.h"

namespace lockstep::data {
namespace {

namespace hdf5 = io::hdf5;

constexpr std::int64_t most_classes = 1000;  // beyond, a list of counts says nothing to a person

/// Adds up the numbers of one data set, block by block.
class Statistics {
 public:
  template <class T>
  void add(std::span<const T> values) {
    double sum = 0;
    for (const T value : values) {
      const auto number = static_cast<double>(value);
      if (std::is_floating_point_v<T> && !std::isfinite(number)) continue;
      minimum_ = std::min(minimum_, number);
      maximum_ = std::max(maximum_, number);
      sum += number;
      ++finite_;
    }
    sum_ += sum;
    all_ += static_cast<std::int64_t>(values.size());
  }

  template <class T>
  void count_classes(std::span<const T> values) {
    for (const T value : values) {
      const auto label = static_cast<std::int64_t>(value);
      if (label < 0 || label >= most_classes) labels_ = false;
      if (!labels_) return;
      if (label >= static_cast<std::int64_t>(counts_.size()))
        counts_.resize(static_cast<std::size_t>(label) + 1);
      ++counts_[static_cast<std::size_t>(label)];
    }
  }

  void store(ArraySummary& summary) const {
    summary.not_finite = all_ - finite_;
    if (labels_) summary.class_counts = counts_;
    if (finite_ == 0) return;
    summary.minimum = minimum_;
    summary.maximum = maximum_;
    summary.mean = sum_ / static_cast<double>(finite_);
  }

 private:
  double minimum_ = std::numeric_limits<double>::infinity();
  double maximum_ = -std::numeric_limits<double>::infinity();
  double sum_ = 0;
  std::int64_t finite_ = 0;
  std::int64_t all_ = 0;
  bool labels_ = true;
  std::vector<std::int64_t> counts_;
};

void read_statistics(const hdf5::Array& array, ArraySummary& summary) {
  const std::int64_t step = array.block_rows(array.type());
  Statistics statistics;
  with_type(array.type(), [&]<class T>(T) {
    const bool one_integer_a_row = std::is_integral_v<T> && array.row_elements() == 1;
    std::vector<T> values;
    for (std::int64_t first = 0; first < array.rows() && array.row_elements() > 0; first += step) {
      const Range rows{first, std::min(first + step, array.rows())};
      values.resize(static_cast<std::size_t>(rows.size() * array.row_elements()));
      array.read(rows, array.type(), values.data());
      statistics.add(std::span<const T>(values));
      if (one_integer_a_row) statistics.count_classes(std::span<const T>(values));
    }
  });
  statistics.store(summary);
}

ArraySummary summarize_array(const hdf5::File& file, const std::filesystem::path& path,
                             const std::string& name) {
  ArraySummary summary;
  summary.name = name;
  try {
    const hdf5::Array array(file, path, name);
    read_statistics(array, summary);
    summary.shape = array.shape();
    summary.type = array.type();
    summary.storage = array.storage();
    summary.bytes = array.rows() * array.row_bytes();
    summary.checksum = hdf5::read_text(array.id(), checksum_attribute).value_or("");
  } catch (const Error& error) {
    summary.problem = error.what();
  }
  return summary;
}

}  // namespace

std::vector<ArraySummary> summarize(const std::filesystem::path& file) {
  const hdf5::File opened = hdf5::open_file(file);
  std::vector<ArraySummary> summaries;
  for (const std::string& name : hdf5::dataset_names(opened))
    summaries.push_back(summarize_array(opened, file, name));
  return summaries;
}

}  // namespace lockstep::data
