#include "data/idx_samples.h"

namespace lockstep::testing {

std::string idx(unsigned char type_code, const std::vector<std::uint32_t>& extents,
                const std::string& payload) {
  std::string bytes{'\0', '\0', static_cast<char>(type_code), static_cast<char>(extents.size())};
  for (const std::uint32_t extent : extents)
    for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(extent >> shift & 0xFFU);
  return bytes + payload;
}

std::string counting_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i * 7 % 251);
  return bytes;
}

std::string counting_labels(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i % 10);
  return bytes;
}

}  // namespace lockstep::testing
