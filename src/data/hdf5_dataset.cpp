#include "data/hdf5_dataset.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/error.h"
#include "base/multiversion.h"
#include "data/kept_rows.h"
#include "data/manifest.h"
#include "io/hdf5_array.h"

namespace lockstep::data {
namespace {

namespace hdf5 = io::hdf5;

/// The two data sets of a split, open and checked against each other.
struct OpenSplit {
  hdf5::File file;
  hdf5::Array images;
  hdf5::Array labels;
};

Shape image_shape(const hdf5::Array& images) {
  const Shape& shape = images.shape();
  if (shape.rank() < 2 || shape.rank() > 4)
    fail(
        ExitCode::bad_data,
        "{}: images must have the shape samples × features, samples × height × width or samples × channels × "
        "height × width, not {}",
        images.where(), shape.text());
  if (shape[0] == 0)
    fail(ExitCode::bad_data, "{}: it has no samples (its shape is {})", images.where(), shape.text());
  if (images.row_elements() == 0)
    fail(ExitCode::bad_data, "{}: its images have no pixels (its shape is {})", images.where(), shape.text());
  if (shape.rank() == 2) return {shape[1]};
  if (shape.rank() == 3) return {1, shape[1], shape[2]};
  return {shape[1], shape[2], shape[3]};
}

void check_labels(const hdf5::Array& labels, const hdf5::Array& images) {
  const Shape& shape = labels.shape();
  if (shape.rank() > 2 || (shape.rank() == 2 && shape[1] != 1))
    fail(ExitCode::bad_data,
         "{}: labels must be one class number for each sample, shape samples or samples × 1, not {} (one-hot "
         "labels: store their argmax)",
         labels.where(), shape.text());
  if (labels.type() == DType::f32 || labels.type() == DType::f64)
    fail(ExitCode::bad_data, "{}: labels must be integers, not {}", labels.where(), name_of(labels.type()));
  if (labels.rows() != images.rows())
    fail(ExitCode::bad_data, "{}: {} labels for the {} images of {}", labels.where(), labels.rows(),
         images.rows(), images.name());
}

/// The file rows of the split.
Range rows_of(const config::Split& split, const hdf5::Array& images) {
  if (split.rows.all()) return {0, images.rows()};
  if (split.rows.end > images.rows())
    fail(ExitCode::bad_config, "{}: it has {} rows, but rows [{}, {}) are asked for", images.where(),
         images.rows(), split.rows.begin, split.rows.end);
  return {split.rows.begin, split.rows.end};
}

OpenSplit open_split(const config::Split& split) {
  hdf5::File file = hdf5::open_file(
      split.file, "'lockstep import' makes data files, and 'lockstep import --help' shows how, for MNIST");
  hdf5::Array images(file, split.file, split.images);
  hdf5::Array labels(file, split.file, split.labels);
  static_cast<void>(image_shape(images));
  check_labels(labels, images);
  return {std::move(file), std::move(images), std::move(labels)};
}

/// Calls f(rows, values) for the labels of these rows, block by block.
template <class F>
void for_label_blocks(const hdf5::Array& labels, Range all, F&& f) {
  const std::int64_t step = labels.block_rows(DType::i64);
  std::vector<std::int64_t> values(static_cast<std::size_t>(step));
  for (std::int64_t first = all.begin; first < all.end; first += step) {
    const Range rows{first, std::min(first + step, all.end)};
    labels.read(rows, DType::i64, values.data());
    f(rows, std::span<const std::int64_t>(values).first(static_cast<std::size_t>(rows.size())));
  }
}

/// From the smallest to the largest, which is the last.
Range range_of_labels(const hdf5::Array& labels, Range all) {
  std::int64_t smallest = std::numeric_limits<std::int64_t>::max();
  std::int64_t largest = 0;
  for_label_blocks(labels, all, [&](Range rows, std::span<const std::int64_t> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] < 0 || values[i] >= std::numeric_limits<std::int32_t>::max())
        fail(ExitCode::bad_data, "{}: the label of row {} is {}; classes are numbered from 0", labels.where(),
             rows.begin + static_cast<std::int64_t>(i), values[i]);
      smallest = std::min(smallest, values[i]);
      largest = std::max(largest, values[i]);
    }
  });
  return {smallest, largest + 1};
}

template <class T>
void scale_pixels(const T* pixels, float scale, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(pixels[i]) * scale;
}

/// Bytes, as most images are.
LOCKSTEP_MULTIVERSION
void scale_pixels(const std::uint8_t* pixels, float scale, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(pixels[i]) * scale;
}

/// Asks for large pages where the kernel gives them on request: shuffled rows lie anywhere, and each would
/// cost a walk through the page table. Call before the memory is used. Only a hint.
void ask_for_large_pages(std::span<std::byte> memory) {
  constexpr std::size_t large_page = std::size_t{2} << 20U;
  void* begin = memory.data();
  std::size_t size = memory.size();
  if (std::align(large_page, large_page, begin, size) == nullptr) return;
  static_cast<void>(::madvise(begin, size / large_page * large_page, MADV_HUGEPAGE));
}

class Hdf5Dataset final : public Dataset {
 public:
  /// Of rows [file_rows.begin, file_rows.end) of the file, which are 0, 1, … from here on.
  Hdf5Dataset(DatasetInfo info, Range file_rows, KeptRows kept)
      : info_(std::move(info)),
        file_rows_(file_rows),
        kept_(kept),
        row_elements_(static_cast<std::size_t>(info_.image.count())),
        row_bytes_(row_elements_ * size_of(info_.image_type)),
        images_(static_cast<std::size_t>(kept_.count()) * row_bytes_),
        labels_(static_cast<std::size_t>(kept_.count())) {
    ask_for_large_pages(images_.span());
  }

  /// Fills the memory; returns the bytes asked of the file for images.
  std::int64_t read(const OpenSplit& split) {
    read_labels(split.labels);
    return split.images.chunk_rows() == 0 ? read_contiguous(split.images) : read_chunks(split.images);
  }

  [[nodiscard]] const DatasetInfo& info() const override { return info_; }
  [[nodiscard]] std::int64_t rows_kept() const override { return kept_.count(); }
  [[nodiscard]] std::int64_t bytes_kept() const override {
    return static_cast<std::int64_t>(images_.size() + labels_.size() * sizeof(std::int32_t));
  }

  void gather(std::int64_t row, float scale, std::span<float> out) const override {
    check(out.size() == row_elements_, "room for one image");
    const std::byte* pixels = image(index_of(row));
    with_type(info_.image_type,
              [&]<class T>(T) { scale_pixels(reinterpret_cast<const T*>(pixels), scale, out); });
  }

  void prefetch(std::int64_t row) const override {
    constexpr std::size_t line = 64;
    constexpr std::size_t most = 4096;  // of a long row, the processor fetches the rest itself
    const std::byte* pixels = image(index_of(row));
    for (std::size_t offset = 0; offset < std::min(row_bytes_, most); offset += line)
      __builtin_prefetch(pixels + offset);
  }

  [[nodiscard]] std::int32_t label(std::int64_t row) const override { return labels_[index_of(row)]; }

  [[nodiscard]] std::span<const std::byte> stored_images() const override { return images_.span(); }
  [[nodiscard]] std::span<const std::int32_t> stored_labels() const override { return labels_.span(); }
  [[nodiscard]] std::int64_t place_of(std::int64_t row) const override {
    return static_cast<std::int64_t>(index_of(row));
  }

 private:
  [[nodiscard]] std::size_t index_of(std::int64_t row) const {
    const std::int64_t index = kept_.index_of(row);
    check(index >= 0, "a rank asks only for rows that it keeps");
    return static_cast<std::size_t>(index);
  }
  [[nodiscard]] std::byte* image(std::size_t index) const { return images_.data() + index * row_bytes_; }

  std::int64_t read_contiguous(const hdf5::Array& images) {
    const DType type = info_.image_type;
    const std::int64_t first = file_rows_.begin;
    images.read_runs(first + kept_.run().begin, kept_.run().size(), kept_.stride(), kept_.runs(), type,
                     image(0));
    const auto before_last = static_cast<std::size_t>(kept_.runs() * kept_.run().size());
    const Range last = kept_.last_run();
    if (!last.empty()) images.read({first + last.begin, first + last.end}, type, image(before_last));
    return kept_.count() * static_cast<std::int64_t>(row_bytes_);
  }

  // Single rows picked out of chunks are slow in the library: read whole chunks and keep the own rows.
  std::int64_t read_chunks(const hdf5::Array& images) {
    const std::int64_t step = images.block_rows(info_.image_type);
    const bool keeps_all = kept_.count() == images.rows();
    const AlignedBuffer<std::byte> block(keeps_all ? 0 : static_cast<std::size_t>(step) * row_bytes_);
    std::int64_t bytes = 0;
    for (std::int64_t first = file_rows_.begin / step * step; first < file_rows_.end; first += step) {
      const Range rows{first, std::min(first + step, images.rows())};
      if (keeps_all) {
        images.read(rows, info_.image_type, image(static_cast<std::size_t>(first)));
      } else if (kept_.any_in({std::max(rows.begin, file_rows_.begin) - file_rows_.begin,
                               std::min(rows.end, file_rows_.end) - file_rows_.begin})) {
        images.read(rows, info_.image_type, block.data());
        keep(rows, block.data());
      } else {
        continue;
      }
      bytes += rows.size() * static_cast<std::int64_t>(row_bytes_);
    }
    return bytes;
  }

  void keep(Range rows, const std::byte* block) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const std::int64_t index = kept_.index_of(row - file_rows_.begin);
      if (index < 0) continue;
      const auto offset = static_cast<std::size_t>(row - rows.begin) * row_bytes_;
      std::copy_n(block + offset, row_bytes_, image(static_cast<std::size_t>(index)));
    }
  }

  void read_labels(const hdf5::Array& labels) {
    for_label_blocks(labels, file_rows_, [&](Range rows, std::span<const std::int64_t> values) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::int64_t row = rows.begin - file_rows_.begin + static_cast<std::int64_t>(i);
        const std::int64_t index = kept_.index_of(row);
        if (index >= 0) labels_[static_cast<std::size_t>(index)] = static_cast<std::int32_t>(values[i]);
      }
    });
  }

  DatasetInfo info_;
  Range file_rows_;
  KeptRows kept_;
  std::size_t row_elements_;
  std::size_t row_bytes_;
  AlignedBuffer<std::byte> images_;  // kept rows in file order, in the file's type and the host's byte order
  AlignedBuffer<std::int32_t> labels_;
};

}  // namespace

DatasetInfo inspect_dataset(const config::Split& split) {
  const OpenSplit open = open_split(split);
  DatasetInfo info;
  info.file = split.file;
  const Range rows = rows_of(split, open.images);
  info.samples = rows.size();
  if (!split.rows.all()) info.rows = rows;
  info.image = image_shape(open.images);
  info.image_type = open.images.type();
  const Range labels = range_of_labels(open.labels, rows);
  info.smallest_label = labels.begin;
  info.classes = labels.end;
  info.file_bytes = static_cast<std::int64_t>(std::filesystem::file_size(split.file));
  info.manifest = manifest(open.images, open.labels);
  return info;
}

std::unique_ptr<Dataset> read_dataset(const config::Split& split, const DatasetInfo& info,
                                      const std::optional<Stripes>& stripes, Range shards,
                                      ReadStatistics* statistics) {
  const OpenSplit open = open_split(split);
  const Range rows = rows_of(split, open.images);
  if (rows.size() != info.samples || image_shape(open.images) != info.image ||
      open.images.type() != info.image_type)
    fail(ExitCode::bad_data, "{}: it changed since it was inspected", open.images.where());
  check(!stripes || stripes->samples() == info.samples, "the stripes are those of the data set");

  const KeptRows kept = stripes ? KeptRows(*stripes, shards) : KeptRows(info.samples);
  try {
    auto dataset = std::make_unique<Hdf5Dataset>(info, rows, kept);
    const std::int64_t bytes = dataset->read(open);
    if (statistics != nullptr) statistics->image_bytes_read = bytes;
    return dataset;
  } catch (const std::bad_alloc&) {
    const std::int64_t bytes = kept.count() * open.images.row_bytes();
    fail(ExitCode::no_input, "{}: not enough memory for {} of its rows, {:.1f} GB; use more ranks",
         open.images.where(), kept.count(), static_cast<double>(bytes) * 1e-9);
  }
}

}  // namespace lockstep::data
