#include "fuse/segments.hpp"

namespace bftmeta::fuse {

void Segments::write(std::uint32_t offset, ByteView bytes) {
  if (bytes.empty()) return;
  auto next = runs_.upper_bound(offset);
  if (next != runs_.begin()) {
    const auto before = std::prev(next);
    if (end_of(*before) >= offset) {
      const std::size_t at = offset - before->first;
      Bytes& run = before->second;
      const std::size_t inside = std::min(bytes.size(), run.size() - at);
      std::copy_n(bytes.begin(), inside, run.begin() + static_cast<std::ptrdiff_t>(at));
      run.insert(run.end(), bytes.begin() + static_cast<std::ptrdiff_t>(inside), bytes.end());
      return absorb_followers(before);
    }
  }
  absorb_followers(runs_.emplace_hint(next, offset, to_bytes(bytes)));
}

void Segments::absorb_followers(Runs::iterator run) {
  const std::uint32_t end = end_of(*run);
  auto next = std::next(run);
  while (next != runs_.end() && next->first <= end) {
    const std::size_t covered = end - next->first;
    if (covered < next->second.size())
      run->second.insert(run->second.end(),
                         next->second.begin() + static_cast<std::ptrdiff_t>(covered),
                         next->second.end());
    next = runs_.erase(next);
  }
}

void Segments::cut(std::uint32_t end) {
  runs_.erase(runs_.lower_bound(end), runs_.end());
  if (runs_.empty()) return;
  auto& last = *runs_.rbegin();
  if (end_of(last) > end) last.second.resize(end - last.first);
}

std::size_t Segments::bytes() const {
  std::size_t sum = 0;
  for (const auto& run : runs_) sum += run.second.size();
  return sum;
}

std::uint32_t Segments::end() const { return runs_.empty() ? 0 : end_of(*runs_.rbegin()); }

bool Segments::covers(std::uint32_t length) const {
  if (length == 0) return true;
  return !runs_.empty() && runs_.begin()->first == 0 && runs_.begin()->second.size() >= length;
}

void Segments::overlay(std::uint32_t from, std::span<std::uint8_t> out) const {
  each(from, from + static_cast<std::uint32_t>(out.size()),
       [&](std::uint32_t offset, ByteView bytes) {
         std::ranges::copy(bytes, out.begin() + (offset - from));
       });
}

Bytes Segments::take_whole() {
  Bytes whole = runs_.empty() ? Bytes{} : std::move(runs_.begin()->second);
  runs_.clear();
  return whole;
}

}  // namespace bftmeta::fuse
