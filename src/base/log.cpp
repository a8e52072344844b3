#include "base/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <mutex>

#include "base/quiet_write.h"

namespace lockstep::log {
namespace {

/// Standard error, whatever it is at the time.
class StandardError final : public spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    const std::string_view line(text.data(), text.size());
    const int terminal = message.level < spdlog::level::err ? without_blocking(STDERR_FILENO) : -1;
    if (terminal < 0) {
      quiet_write(STDERR_FILENO, line);
      return;
    }
    quiet_write(terminal, line, std::chrono::seconds(1));
    ::close(terminal);
  }
  void flush_() override {}
};

spdlog::logger& logger() {
  static const auto instance = [] {
    auto created = std::make_unique<spdlog::logger>("lockstep", std::make_shared<StandardError>());
    created->set_pattern("lockstep: %v");
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
