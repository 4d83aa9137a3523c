// What an open file needs of the metadata service. A seam: ClusterMetadata puts the client library
// behind it, unit tests a model. Thread-safety: all calls, from any thread.
#pragma once

#include <map>

#include "base/bytes.hpp"
#include "fuse/failure.hpp"
#include "schema/operations.hpp"

namespace bftmeta::fuse {

// The visible part of one block.
struct DataExtent {
  std::uint32_t length = 0;
  Hash digest{};
  friend bool operator==(const DataExtent&, const DataExtent&) = default;
};

// Attributes and contents of a regular file at ONE certified root.
struct FileData {
  schema::Attributes attributes;
  std::optional<Bytes> inline_data;
  std::map<std::uint64_t, DataExtent> extents;  // by offset; those in the range that was asked for
};

class FileMetadata {
 public:
  virtual ~FileMetadata() = default;

  // Extents with offset in [from, to). ESTALE: no such inode.
  virtual Outcome<FileData> fetch(const schema::Caller& caller, std::uint64_t ino,
                                  std::uint64_t from, std::uint64_t to) = 0;
  // The attributes afterwards; Code::version_conflict when expected_version is not the file's,
  // Code::try_again when it has to be sent again a little later.
  virtual Outcome<schema::Attributes> commit(const schema::Caller& caller,
                                             const schema::CommitData& data) = 0;
  virtual Outcome<schema::Attributes> set_size(const schema::Caller& caller, std::uint64_t ino,
                                               std::uint64_t size) = 0;
};

}  // namespace bftmeta::fuse
