#include "admin/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace bftmeta::admin {

Progress::Progress(std::string label, std::uint64_t total)
    : label_(std::move(label)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void Progress::update(std::uint64_t done) {
  const Clock::time_point now = Clock::now();
  if (!terminal_ || now < next_) return;
  next_ = now + kRedraw;
  drawn_ = true;
  const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - start_);
  std::fprintf(stderr, "\r\033[K%s",
               line(label_, done, total_, static_cast<std::uint64_t>(elapsed.count())).c_str());
  std::fflush(stderr);
}

std::string Progress::line(const std::string& label, std::uint64_t done, std::uint64_t total,
                           std::uint64_t elapsed_ms) {
  if (total == 0) return label + "  " + std::to_string(done);
  constexpr std::uint64_t kWidth = 30;
  done = std::min(done, total);
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(kWidth));
  std::string out = label + "  [" + std::string(filled, '#') + std::string(kWidth - filled, '.') +
                    "] " + std::to_string(static_cast<unsigned>(share * 100)) + " %";
  if (done > 0) {
    const double left_ms = static_cast<double>(elapsed_ms) * (1 - share) / share;
    out += "  " + std::to_string(static_cast<std::uint64_t>(left_ms / 1000)) + " s left";
  }
  return out;
}

}  // namespace bftmeta::admin
