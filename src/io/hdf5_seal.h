#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

/// A checksum of a whole HDF5 file, so that not one byte of a damaged one reaches the HDF5 library, which
/// crashes, hangs or silently reads other values for some damages of its own structures.
///
/// The seal is one line of text in the file's user block: the bytes in front of HDF5's own that its format
/// leaves to applications. It notices damage, not malice.
namespace lockstep::io::hdf5 {

/// Size of the user block of a sealed file; the least that HDF5 allows.
inline constexpr std::size_t seal_bytes = 512;

using Seal = std::array<char, seal_bytes>;

/// The user block of a file whose bytes behind it are these.
Seal seal_of(std::span<const std::byte> contents);

/// Whether the file begins as a sealed one; false when it cannot be opened.
bool has_seal(const std::filesystem::path& path);

/// Reads the file once. Error(no_input) when it cannot be opened; Error(bad_data) when it is empty, cut off
/// or damaged, or has no seal and so is not `what` ("a Lockstep checkpoint").
void check_seal(const std::filesystem::path& path, std::string_view what);

}  // namespace lockstep::io::hdf5
