// What the cluster holds of one regular file, as far as this mount has looked: attributes, inline
// data, and extents in windows of kWindowBlocks blocks. All of it belongs to one version of the
// file; newer attributes throw the rest away. Thread-safety: none; DirtyFile's lock guards it.
#pragma once

#include <set>

#include "fuse/file_metadata.hpp"

namespace bftmeta::fuse {

class BaseImage {
 public:
  static constexpr std::uint64_t kWindowBlocks = 256;
  static constexpr std::size_t kMaxWindows = 64;  // 16 GiB of a file; then it starts anew

  explicit BaseImage(std::uint64_t ino) : ino_(ino) {}

  bool known() const { return known_; }
  const schema::Attributes& attributes() const { return attributes_; }
  // True if they were newer than what was known.
  bool observe(const schema::Attributes& attributes);
  void forget() { known_ = false; }

  // Knows the attributes, and the data around the block at `offset`, when it returns success.
  Outcome<void> ensure(FileMetadata& metadata, const schema::Caller& caller, std::uint64_t offset);
  // Asks even if it is known.
  Outcome<void> refresh(FileMetadata& metadata, const schema::Caller& caller);

  // After ensure(offset). The file's contents are inline data, or one extent per block, or nothing.
  const Bytes* inline_data() const { return inline_ ? &*inline_ : nullptr; }
  std::optional<DataExtent> extent_at(std::uint64_t offset) const;

  // What a commit of ours has made of it, instead of reading it back.
  void apply(const schema::CommitData& commit, const schema::Attributes& after);

 private:
  bool needs_data(std::uint64_t offset) const;
  Outcome<void> load(FileMetadata& metadata, const schema::Caller& caller, std::uint64_t window);
  void drop_data();

  const std::uint64_t ino_;
  bool known_ = false;
  schema::Attributes attributes_;
  std::optional<Bytes> inline_;
  std::map<std::uint64_t, DataExtent> extents_;
  std::set<std::uint64_t> windows_;
};

}  // namespace bftmeta::fuse
