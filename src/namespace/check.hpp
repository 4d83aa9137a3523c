// Checks the invariants of the namespace from the state alone (protocol §10, T10.8): every dirent
// leads to a live inode, nlink equals references, every directory has one parent and is reached
// from the root, unlinked inodes are orphans and nothing else is, holds belong to sessions, sizes
// and counts and totals match, no number is above next_ino. For the scrubber, bftadm and tests.
// Memory: about 100 bytes per inode. Thread-safety: pure function of the reader.
#pragma once

#include <string>
#include <vector>

#include "tree/reader.hpp"

namespace bftmeta::ns {

struct CheckReport {
  bool complete = false;  // false: the reader failed, `problems` may lack some
  std::uint64_t inodes = 0;
  std::uint64_t entries = 0;
  std::vector<std::string> problems;  // one sentence each, at most kMaxProblems

  bool clean() const { return complete && problems.empty(); }
};

constexpr std::size_t kMaxProblems = 100;

struct CheckOptions {
  // Holds and session holds must have a session record; off where execution's tables are absent.
  bool sessions = true;
};

CheckReport check(const tree::Reader& reader, const CheckOptions& options = {});

}  // namespace bftmeta::ns
