#include "fuse/cluster_metadata.hpp"

#include <thread>

namespace bftmeta::fuse {

namespace {
// A purge of a truncated file is a few batches; this is seconds.
constexpr unsigned kMaxTryAgain = 40;

void pause_before_retry(unsigned attempt) {
  std::this_thread::sleep_for(
      std::chrono::milliseconds(std::min(5U << std::min(attempt, 5U), 100U)));
}
}  // namespace

template <class T>
Outcome<T> ClusterMetadata::ask(const schema::Caller& caller, schema::QueryBody body) {
  std::vector<schema::Query> queries(1);
  queries[0].caller = caller;
  queries[0].body = std::move(body);
  BFTFS_ASSIGN(client::ReadResult read, client_.read(std::move(queries), mode_));
  ns::QueryResult& result = read.answers.at(0);
  if (result.unknown)
    return tl::make_unexpected(Failure(EIO, "a verified answer does not cover what was asked"));
  if (result.code != schema::Code::ok) return tl::make_unexpected(Failure(result.code));
  T* answer = std::get_if<T>(&result.answer);
  if (answer == nullptr)
    return tl::make_unexpected(Failure(EIO, "a verified answer of another kind than was asked"));
  return std::move(*answer);
}

Outcome<ns::InodeAnswer> ClusterMetadata::inode(const schema::Caller& caller, schema::Target target,
                                                bool symlink) {
  return ask<ns::InodeAnswer>(caller, schema::GetInode{std::move(target), symlink});
}

Outcome<std::vector<std::optional<schema::Attributes>>> ClusterMetadata::inodes(
    const schema::Caller& caller, const std::vector<std::uint64_t>& inos) {
  std::vector<schema::Query> queries;
  for (const std::uint64_t ino : inos) {
    schema::Query& query = queries.emplace_back();
    query.caller = caller;
    query.body = schema::GetInode{{ino, {}}, false};
  }
  BFTFS_ASSIGN(const client::ReadResult read, client_.read(std::move(queries), mode_));
  std::vector<std::optional<schema::Attributes>> found;
  for (const ns::QueryResult& result : read.answers) {
    const auto* answer = std::get_if<ns::InodeAnswer>(&result.answer);
    found.push_back(answer == nullptr ? std::nullopt : std::optional(answer->attributes));
  }
  return found;
}

Outcome<ns::DirectoryPage> ClusterMetadata::list(const schema::Caller& caller, std::uint64_t ino,
                                                 std::uint64_t from_cookie,
                                                 std::uint32_t max_entries, bool with_attributes) {
  return ask<ns::DirectoryPage>(
      caller, schema::ListDirectory{ino, from_cookie, max_entries, with_attributes});
}

Outcome<Bytes> ClusterMetadata::xattr(const schema::Caller& caller, std::uint64_t ino, Bytes name) {
  BFTFS_ASSIGN(ns::XattrValue found,
               ask<ns::XattrValue>(caller, schema::GetXattr{ino, std::move(name)}));
  return std::move(found.value);
}

Outcome<std::vector<Bytes>> ClusterMetadata::xattrs(const schema::Caller& caller,
                                                    std::uint64_t ino) {
  BFTFS_ASSIGN(ns::XattrNames found, ask<ns::XattrNames>(caller, schema::ListXattrs{ino}));
  return std::move(found.names);
}

Outcome<schema::Counters> ClusterMetadata::statistics(const schema::Caller& caller) {
  return ask<schema::Counters>(caller, schema::GetStatistics{});
}

Outcome<std::optional<schema::InodeReply>> ClusterMetadata::apply(const schema::Caller& caller,
                                                                  schema::OperationBody body) {
  for (unsigned attempt = 0;; ++attempt) {
    schema::Operation operation;
    operation.caller = caller;
    operation.body = body;
    BFTFS_ASSIGN(schema::OpResult result, client_.execute(std::move(operation)));
    if (result.code == schema::Code::ok) return std::move(result.inode);
    if (result.code != schema::Code::try_again || attempt == kMaxTryAgain)
      return tl::make_unexpected(Failure(result.code));
    pause_before_retry(attempt);
  }
}

Outcome<schema::InodeReply> ClusterMetadata::apply_to_inode(const schema::Caller& caller,
                                                            schema::OperationBody body) {
  BFTFS_ASSIGN(std::optional<schema::InodeReply> reply, apply(caller, std::move(body)));
  if (!reply)
    return tl::make_unexpected(Failure(EIO, "a certified result without the inode it is about"));
  return std::move(*reply);
}

Outcome<FileData> ClusterMetadata::fetch(const schema::Caller& caller, std::uint64_t ino,
                                         std::uint64_t from, std::uint64_t to) {
  Outcome<ns::FileData> found = ask<ns::FileData>(caller, schema::GetData{ino, from, to});
  if (!found) return tl::make_unexpected(std::move(found.error()));
  FileData data;
  data.attributes = found->attributes;
  data.inline_data = std::move(found->inline_data);
  for (const ns::FileExtent& extent : found->extents)
    data.extents[extent.offset] = {extent.extent.length, extent.extent.digest};
  return data;
}

Outcome<schema::Attributes> ClusterMetadata::commit(const schema::Caller& caller,
                                                    const schema::CommitData& data) {
  BFTFS_ASSIGN(const schema::InodeReply reply, apply_to_inode(caller, data));
  return reply.attributes;
}

Outcome<schema::Attributes> ClusterMetadata::set_size(const schema::Caller& caller,
                                                      std::uint64_t ino, std::uint64_t size) {
  schema::SetAttributes change;
  change.target.base = ino;
  change.mask = schema::set_mask::kSize;
  change.size = size;
  BFTFS_ASSIGN(const schema::InodeReply reply, apply_to_inode(caller, change));
  return reply.attributes;
}

}  // namespace bftmeta::fuse
