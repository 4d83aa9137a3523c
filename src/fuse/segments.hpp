// The bytes written to one block since it was last committed: disjoint, never adjacent runs. Memory
// follows what was written, not where. Thread-safety: none; DirtyFile's lock guards it.
#pragma once

#include <map>

#include "base/bytes.hpp"

namespace bftmeta::fuse {

class Segments {
 public:
  void write(std::uint32_t offset, ByteView bytes);
  // Forgets everything at and behind `end`.
  void cut(std::uint32_t end);
  void clear() { runs_.clear(); }

  bool empty() const { return runs_.empty(); }
  std::size_t bytes() const;
  std::uint32_t end() const;                // behind the last byte; 0 when empty
  bool covers(std::uint32_t length) const;  // every byte of [0, length)
  // Copies what lies in [from, from + out.size()) over `out`, whose other bytes stay.
  void overlay(std::uint32_t from, std::span<std::uint8_t> out) const;
  // Visits the written parts of [from, to) in order: visit(offset, bytes).
  template <class Visit>
  void each(std::uint32_t from, std::uint32_t to, Visit&& visit) const {
    for (const auto& run : runs_) {
      const std::uint32_t begin = std::max(from, run.first);
      const std::uint32_t end = std::min(to, end_of(run));
      if (begin < end) visit(begin, ByteView(run.second).subspan(begin - run.first, end - begin));
    }
  }
  // The content when covers(end()); leaves this empty.
  Bytes take_whole();

 private:
  using Runs = std::map<std::uint32_t, Bytes>;
  static std::uint32_t end_of(const Runs::value_type& run) {
    return run.first + static_cast<std::uint32_t>(run.second.size());
  }
  void absorb_followers(Runs::iterator run);

  Runs runs_;
};

}  // namespace bftmeta::fuse
