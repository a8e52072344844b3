#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace lockstep::log {
namespace {

spdlog::logger& logger() {
  static const auto instance = [] {
    auto created = spdlog::stderr_logger_mt("lockstep");
    created->set_pattern("lockstep: %v");
    created->flush_on(spdlog::level::warn);
    return created;
  }();
  return *instance;
}

}  // namespace

void set_rank(int rank) {
  logger().set_pattern(fmt::format("lockstep: rank {}: %v", rank));
}

void write_warning(std::string_view message) {
  logger().warn("warning: {}", message);
}

void write_error(std::string_view message) {
  logger().error("{}", message);
}

}  // namespace lockstep::log
