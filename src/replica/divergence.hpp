// divergence-<seq>/ in the data directory: what a replica leaves behind that computed another
// result than the certified one, before it stops (protocol §4.5). summary.txt is one page for
// people; touched-leaves.txt has a line for each leaf that the batch wrote, sorted by key, so that
// the bundles of two replicas can be compared with diff(1); certificate, share-N, header, own-body
// and batch are canonical encodings. The replica is lost anyway, so no error here matters more than
// the halt: it is one line in the log. Thread-safety: one thread.
#pragma once

#include "consensus/core.hpp"
#include "storage/file.hpp"
#include "tree/version.hpp"

namespace bftmeta::replica {

// Of the first divergences, which lie closest to the cause; each start of a damaged replica may
// find another one.
constexpr std::size_t kMaxDivergences = 4;
constexpr std::size_t kMaxTouchedLeaves = 16 * 1024 * 1024;  // bytes of touched-leaves.txt, about

// What the batch wrote, in the state after it. Both nullptr: not known any more.
struct TouchedLeaves {
  const std::vector<Key>* keys = nullptr;  // sorted
  const tree::Reader* after = nullptr;
};

// Once for each seq: a bundle with a summary is complete, and left as it is.
void keep_divergence(storage::FileSystem& fs, const std::string& data_dir,
                     const consensus::action::Diverged& diverged, const TouchedLeaves& leaves);

// The contents of the two text files.
std::string divergence_summary(const consensus::action::Diverged& diverged);
std::string touched_leaves_text(const TouchedLeaves& leaves,
                                std::size_t max_bytes = kMaxTouchedLeaves);

}  // namespace bftmeta::replica
