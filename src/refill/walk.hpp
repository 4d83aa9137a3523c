// Which blocks a version of the tree names: its live extents in key order, a slice at a time, so
// that nobody holds a version for long. A cursor is where the next slice begins, in whatever
// version is the newest then. Pure: the version reads the store. Thread-safety: pure functions.
#pragma once

#include <vector>

#include "tree/version.hpp"

namespace bftmeta::refill {

struct NamedBlock {
  Hash digest{};
  std::uint32_t bytes = 0;  // as the extent has it; at most kBlockSize
  friend bool operator==(const NamedBlock&, const NamedBlock&) = default;
};

// A slice ends behind so many blocks, or leaves of any kind.
constexpr std::size_t kSliceBlocks = 256;
constexpr std::size_t kSliceLeaves = 4096;

struct Slice {
  std::vector<NamedBlock> blocks;  // in key order; the same digest as often as it is named
  std::optional<Key> next;         // cursor behind it; nullopt: nothing is left
  // Where it begins and ends, 0..1, by inode numbers in use and place in the file.
  double begin = 0;
  double end = 0;
};

// The beginning.
Key first_cursor();

// The block of one extent; nullopt: there is no such extent now, or it is cut off. Errors: corrupt,
// io.
Result<std::optional<NamedBlock>> named_at(const tree::Version& version, const Key& extent);

// Any key may be the cursor. Errors: corrupt, io (the version cannot be read).
Result<Slice> named_blocks(const tree::Version& version, const Key& cursor);

}  // namespace bftmeta::refill
