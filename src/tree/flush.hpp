// Writing a version to the store in the background while newer versions are made:
//
//   WriteSet set = begin_flush(head);             main thread; versions made from head are newer
//   while (!*set.write_some(*writer, 1000)) {}    any one thread, in slices
//   snapshot = writer->commit(set.root_record(), meta);
//   head = rebase(head, set, snapshot);           main thread; head has moved on meanwhile
//
// A write set that is abandoned, or whose commit fails, is simply dropped: the next one covers it.
// One flush at a time per family of versions. Whoever destroys the last copy of the flushed version
// (the write set holds one) frees the nodes that rebase left in the store: best the flush thread.
#pragma once

#include "tree/version.hpp"

namespace bftmeta::tree {

// All changes between the snapshot behind a version and that version. Holds the version, copies
// nothing. Thread-safety: one thread at a time.
class WriteSet {
 public:
  // Writes about `max_records` more records (erasures first); true: all are written. Errors: those
  // of the writer; the flush must then be abandoned.
  Result<bool> write_some(GenerationWriter& writer, std::size_t max_records);
  // What commit() wants.
  Bytes root_record() const;
  // The version that is being flushed.
  const Version& version() const { return version_; }

 private:
  friend WriteSet begin_flush(Version& head);
  friend Version rebase(const Version& head, const WriteSet& flushed,
                        std::shared_ptr<const Snapshot> snapshot);

  explicit WriteSet(Version version);
  Status write_erased(GenerationWriter& writer, std::size_t& left);
  Status write_nodes(GenerationWriter& writer, std::size_t& left);
  bool is_dirty(const Ref& ref) const;

  Version version_;
  const Erased* erased_;  // owned by version_, as are the nodes
  std::size_t erased_leaves_ = 0;
  std::size_t erased_nodes_ = 0;
  std::size_t erased_regions_ = 0;
  std::vector<const Node*> stack_;
};

// The changes of `head` since its snapshot. Versions made from `head` afterwards belong to the
// next flush; versions made from copies of it taken before must not be used as head any more.
WriteSet begin_flush(Version& head);

// `head`, which comes from the flushed version, on the new snapshot: equal content, but what is in
// the store and not pinned is no longer in memory. Costs time in proportion to what was changed
// since begin_flush() and to the pinned nodes that were changed since the flush before. Older
// versions stay valid, on their own snapshots.
// Precondition: `snapshot` came from committing `flushed`.
Version rebase(const Version& head, const WriteSet& flushed,
               std::shared_ptr<const Snapshot> snapshot);

// `head` on another generation of its store that holds the very same tree: what was rotten in the
// one before is repaired. Precondition: no flush was begun since the snapshot behind `head`, or was
// abandoned.
Version on_equal(const Version& head, std::shared_ptr<const Snapshot> snapshot);

}  // namespace bftmeta::tree
