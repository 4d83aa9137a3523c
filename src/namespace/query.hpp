// Evaluates a read query on any Reader: a replica on a certified version through a recording
// reader, a client THE SAME WAY on the partial tree that came of it. So a replica that is correct
// refuses what permissions forbid, and a client needs no result but the proof.
// Thread-safety: pure functions of the reader.
#pragma once

#include "namespace/context.hpp"
#include "schema/queries.hpp"
#include "tree/reader.hpp"

namespace bftmeta::ns {

struct InodeAnswer {
  std::uint64_t ino = 0;
  schema::Attributes attributes;
  std::optional<Bytes> symlink;  // when asked for, of a symlink
};

struct DirectoryEntry {
  std::uint64_t cookie = 0;
  std::uint64_t ino = 0;
  schema::FileType type = schema::FileType::regular;
  Bytes name;
  std::optional<schema::Attributes> attributes;  // when asked for, with search permission
};

// Entries in cookie order. Those with equal cookies are never parted, so a page may be longer than
// what was asked for. `next_cookie` is where the next page starts; void at the end.
struct DirectoryPage {
  schema::Attributes directory;
  std::vector<DirectoryEntry> entries;
  std::uint64_t next_cookie = 0;
  bool eof = true;
};

struct XattrValue {
  Bytes value;
};
struct XattrNames {
  std::vector<Bytes> names;  // in the order of their hashes; trusted.* for uid 0 only
};

struct FileExtent {
  std::uint64_t offset = 0;
  schema::Extent extent;
};
// Live extents that start in the range that was asked for, or the inline data (the whole of it).
// What neither covers reads as zeros.
struct FileData {
  schema::Attributes attributes;
  std::optional<Bytes> inline_data;
  std::vector<FileExtent> extents;
};

struct PrincipalEntry {
  PublicKey sign_key{};
  schema::Principal principal;
};
struct PrincipalList {
  std::vector<PrincipalEntry> principals;
};

struct SessionAnswer {
  std::optional<schema::Session> session;      // nullopt: no such session now
  std::optional<schema::StoredResult> result;  // of the bundle that was asked for
  std::optional<schema::Tombstone> tombstone;  // of a session that was evicted
};

struct MembershipAnswer {
  std::optional<schema::ConfigRecord> config;    // nullopt: no such epoch yet
  std::optional<schema::ConfigRecord> next;      // of the epoch behind it, once that is decided
  std::optional<schema::PendingChange> pending;  // at most one is under way
};

using Answer =
    std::variant<std::monostate, InodeAnswer, DirectoryPage, XattrValue, XattrNames, FileData,
                 schema::Counters, PrincipalList, SessionAnswer, MembershipAnswer>;

struct QueryResult {
  // The reader did not know something: nothing may be concluded, `code` and `answer` are void.
  bool unknown = false;
  schema::Code code = schema::Code::ok;
  Answer answer;  // std::monostate unless code is ok
};

// `rules` are those of the principal that asks; nullptr skips every permission check (a client that
// does not know its own rules yet, and tools: what they can see is what the proof covers).
QueryResult evaluate(const tree::Reader& reader, const schema::Query& query,
                     const config::ClientRules* rules);
// By the rules of the registered principal with this sign key. Its record is read through `reader`
// too, so a proof shows which rules were applied, also when they changed lately: what a replica and
// a client use for reads. Code::not_permitted: there is no such principal.
QueryResult evaluate(const tree::Reader& reader, const schema::Query& query,
                     const PublicKey& principal);

}  // namespace bftmeta::ns
