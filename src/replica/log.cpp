#include "replica/log.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace bftmeta::replica {

namespace {

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::trace: return spdlog::level::trace;
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void open_log(LogLevel least) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("bftmetad"));
  spdlog::set_level(level_of(least));
}

void log_line(LogLevel level, const std::string& line) {
  // The overload that takes text as it is: nothing is instantiated, and braces mean nothing.
  spdlog::default_logger_raw()->log(level_of(level), spdlog::string_view_t(line));
}

}  // namespace bftmeta::replica
