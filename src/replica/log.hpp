// What a replica tells its operator: lines on standard error, with time and level. spdlog does the
// work; formatting with it takes seconds to compile, so log.cpp alone includes it.
// Thread-safety: log_line from any thread, open_log before there are others.
#pragma once

#include <string>

#include "config/settings.hpp"

namespace bftmeta::replica {

using config::LogLevel;

// Lines below `least` are left out from here on.
void open_log(LogLevel least);
void log_line(LogLevel level, const std::string& line);

}  // namespace bftmeta::replica
