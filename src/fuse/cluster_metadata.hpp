// The metadata service as the mount uses it: the client library with answers as Outcome. Every
// result was verified by the library. Thread-safety: all calls; each waits for the cluster.
#pragma once

#include <bftmeta/client.hpp>

#include "fuse/file_metadata.hpp"

namespace bftmeta::fuse {

class ClusterMetadata final : public FileMetadata {
 public:
  // The client outlives it.
  ClusterMetadata(client::Client& client, config::ReadMode mode) : client_(client), mode_(mode) {}

  Outcome<ns::InodeAnswer> inode(const schema::Caller& caller, schema::Target target,
                                 bool symlink = false);
  // One answer per inode, of one root; those that do not exist any more are nullopt.
  Outcome<std::vector<std::optional<schema::Attributes>>> inodes(
      const schema::Caller& caller, const std::vector<std::uint64_t>& inos);
  Outcome<ns::DirectoryPage> list(const schema::Caller& caller, std::uint64_t ino,
                                  std::uint64_t from_cookie, std::uint32_t max_entries,
                                  bool with_attributes);
  Outcome<Bytes> xattr(const schema::Caller& caller, std::uint64_t ino, Bytes name);
  Outcome<std::vector<Bytes>> xattrs(const schema::Caller& caller, std::uint64_t ino);
  Outcome<schema::Counters> statistics(const schema::Caller& caller);

  // Orders an operation. The inode that the operation answers, if it answers one.
  Outcome<std::optional<schema::InodeReply>> apply(const schema::Caller& caller,
                                                   schema::OperationBody body);
  // Of an operation that always answers an inode.
  Outcome<schema::InodeReply> apply_to_inode(const schema::Caller& caller,
                                             schema::OperationBody body);

  Outcome<FileData> fetch(const schema::Caller& caller, std::uint64_t ino, std::uint64_t from,
                          std::uint64_t to) override;
  Outcome<schema::Attributes> commit(const schema::Caller& caller,
                                     const schema::CommitData& data) override;
  Outcome<schema::Attributes> set_size(const schema::Caller& caller, std::uint64_t ino,
                                       std::uint64_t size) override;

 private:
  template <class T>
  Outcome<T> ask(const schema::Caller& caller, schema::QueryBody body);

  client::Client& client_;
  const config::ReadMode mode_;
};

}  // namespace bftmeta::fuse
