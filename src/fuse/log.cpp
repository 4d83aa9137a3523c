#include "fuse/log.hpp"

#include <syslog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>

namespace bftmeta::fuse {

namespace {

constexpr unsigned kLinesPerSecond = 10;

std::atomic<bool> to_syslog{false};

void write(std::string line) {
  std::ranges::replace_if(
      line, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  if (to_syslog)
    ::syslog(LOG_WARNING, "%s", line.c_str());
  else
    std::fprintf(stderr, "bftfs: %s\n", line.c_str());
}

}  // namespace

void log_to_syslog() {
  ::openlog("bftfs", LOG_PID, LOG_DAEMON);
  to_syslog = true;
}

void log_line(const std::string& line) {
  using Clock = std::chrono::steady_clock;
  static std::mutex mutex;
  static Clock::time_point second_started;
  static unsigned lines = 0;
  static unsigned long suppressed = 0;
  std::lock_guard lock(mutex);
  if (Clock::now() - second_started > std::chrono::seconds(1)) {
    second_started = Clock::now();
    lines = 0;
    if (suppressed > 0) write(std::to_string(suppressed) + " more messages were left out");
    suppressed = 0;
  }
  if (lines == kLinesPerSecond) {
    ++suppressed;
    return;
  }
  ++lines;
  write(line);
}

}  // namespace bftmeta::fuse
