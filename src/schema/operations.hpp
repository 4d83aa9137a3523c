// Operations, their results and the error enum: what a client may ask the state machine to do, and
// every answer it can get (protocol §10). An Operation that does not decode makes the whole bundle
// malformed; one that decodes but cannot be done is a Result with a Code, never a refusal.
// Thread-safety: plain values.
#pragma once

#include <variant>

#include "schema/records.hpp"

namespace bftmeta::schema {

// Outcome of an operation. Numbers are part of results, hence of certificates: never renumber.
enum class Code : std::uint16_t {
  ok = 0,
  not_permitted = 1,      // EPERM
  no_entry = 2,           // ENOENT
  io_error = 3,           // EIO: a 256-bit hash collision, nothing else
  access_denied = 4,      // EACCES
  exists = 5,             // EEXIST
  cross_device = 6,       // EXDEV
  not_directory = 7,      // ENOTDIR
  is_directory = 8,       // EISDIR
  invalid = 9,            // EINVAL
  file_too_big = 10,      // EFBIG
  no_space = 11,          // ENOSPC: a replicated limit
  too_many_links = 12,    // EMLINK
  name_too_long = 13,     // ENAMETOOLONG
  not_empty = 14,         // ENOTEMPTY
  no_attribute = 15,      // ENODATA
  too_large = 16,         // ERANGE, E2BIG: an attribute value
  stale_handle = 17,      // ESTALE: no inode of this number
  version_conflict = 18,  // compare-and-set failed: read again, then retry
  try_again = 19,         // EAGAIN: a purge is under way, send again
  not_supported = 20,     // EOPNOTSUPP
  rolled_back = 21,       // an earlier operation of an all-or-nothing bundle failed
  quota_exceeded = 22,    // EDQUOT
  loop = 23,              // ELOOP
};
bool valid_value(Code c);
int to_errno(Code c);
std::string_view code_name(Code c);

// On whose behalf; what is believed of it depends on the principal's rules (config::ClientRules).
struct Caller {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("uid", s.uid);
    v.field("gid", s.gid);
    v.field("groups", s.groups, Cap{limits::kMaxGroups});
  }
  friend bool operator==(const Caller&, const Caller&) = default;
};

struct Name {
  Bytes bytes;  // 1..255 bytes, no NUL, no '/', neither "." nor ".." (checked at execution)

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("bytes", s.bytes, Cap{limits::kMaxName});
  }
  friend bool operator==(const Name&, const Name&) = default;
};

// An inode: `base`, or what the names of `path` lead to from it (symlinks are not followed; search
// permission is checked at every directory that is passed).
struct Target {
  std::uint64_t base = kRootIno;
  std::vector<Name> path;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("base", s.base);
    v.field("path", s.path, Cap{limits::kMaxPathComponents});
  }
  friend bool operator==(const Target&, const Target&) = default;
};

// ---- operations; each with what it answers on success (Reply below)

// Changes nothing; ordered. Renews the session's lease; its sequence number bounds an ordered read.
struct Noop {
  template <class V, class Self>
  static void fields(V&, Self&) {}
  friend bool operator==(const Noop&, const Noop&) = default;
};

// Which members of SetAttributes are to be set.
namespace set_mask {
constexpr std::uint32_t kMode = 1, kUid = 2, kGid = 4, kSize = 8, kAtime = 16, kMtime = 32;
constexpr std::uint32_t kAtimeNow = 64, kMtimeNow = 128;  // agreed time instead of the value
constexpr std::uint32_t kCtime =
    256;  // touch ctime only (bit alone: a no-op change is still a change)
constexpr std::uint32_t kAll = 511;
}  // namespace set_mask

// chmod, chown, truncate, utimens in one. Reply: attributes.
struct SetAttributes {
  Target target;
  std::uint32_t mask = 0;
  std::uint16_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;
  std::int64_t atime_ns = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t expected_version = 0;  // 0: any

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("target", s.target);
    v.field("mask", s.mask);
    v.field("mode", s.mode);
    v.field("uid", s.uid);
    v.field("gid", s.gid);
    v.field("size", s.size);
    v.field("atime_ns", s.atime_ns);
    v.field("mtime_ns", s.mtime_ns);
    v.field("expected_version", s.expected_version);
  }
  friend bool operator==(const SetAttributes&, const SetAttributes&) = default;
};

// create, mkdir, mknod and symlink: a new inode under a new name. The mode has the caller's umask
// applied already. Reply: attributes with the new ino.
struct MakeNode {
  Target parent;
  Name name;
  FileType type = FileType::regular;
  std::uint16_t mode = 0;
  std::uint64_t rdev = 0;  // devices only
  Bytes symlink;           // symlinks only: the target, 1..4095 bytes
  bool exclusive = true;  // regular files: false answers the existing file (O_CREAT without O_EXCL)

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("parent", s.parent);
    v.field("name", s.name);
    v.field("type", s.type);
    v.field("mode", s.mode);
    v.field("rdev", s.rdev);
    v.field("symlink", s.symlink, Cap{limits::kMaxSymlink});
    v.field("exclusive", s.exclusive);
  }
  friend bool operator==(const MakeNode&, const MakeNode&) = default;
};

// A hard link to `source` (not a directory). Reply: attributes of the source.
struct Link {
  Target source;
  Target parent;
  Name name;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("source", s.source);
    v.field("parent", s.parent);
    v.field("name", s.name);
  }
  friend bool operator==(const Link&, const Link&) = default;
};

// unlink (directory = false) and rmdir (true). Reply: attributes of what was removed, as they are
// now.
struct Remove {
  Target parent;
  Name name;
  bool directory = false;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("parent", s.parent);
    v.field("name", s.name);
    v.field("directory", s.directory);
  }
  friend bool operator==(const Remove&, const Remove&) = default;
};

namespace rename_flags {
constexpr std::uint32_t kNoReplace = 1, kExchange = 2;  // the numbers of renameat2(2)
}
// Reply: attributes of the moved inode.
struct Rename {
  Target from_parent;
  Name from_name;
  Target to_parent;
  Name to_name;
  std::uint32_t flags = 0;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("from_parent", s.from_parent);
    v.field("from_name", s.from_name);
    v.field("to_parent", s.to_parent);
    v.field("to_name", s.to_name);
    v.field("flags", s.flags);
  }
  friend bool operator==(const Rename&, const Rename&) = default;
};

namespace xattr_flags {
constexpr std::uint32_t kCreate = 1, kReplace = 2;  // the numbers of setxattr(2)
}
struct SetXattr {
  Target target;
  Bytes name;
  Bytes value;
  std::uint32_t flags = 0;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("target", s.target);
    v.field("name", s.name, Cap{limits::kMaxXattrName});
    v.field("value", s.value, Cap{limits::kMaxXattrValue});
    v.field("flags", s.flags);
  }
  friend bool operator==(const SetXattr&, const SetXattr&) = default;
};

struct RemoveXattr {
  Target target;
  Bytes name;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("target", s.target);
    v.field("name", s.name, Cap{limits::kMaxXattrName});
  }
  friend bool operator==(const RemoveXattr&, const RemoveXattr&) = default;
};

// One block to be named at an offset; length 0 removes the extent there (a hole).
struct ExtentChange {
  std::uint64_t offset = 0;  // multiple of kBlockSize
  std::uint32_t length = 0;  // bytes of the block, <= kBlockSize
  Hash digest{};

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("offset", s.offset);
    v.field("length", s.length);
    v.field("digest", s.digest);
  }
  friend bool operator==(const ExtentChange&, const ExtentChange&) = default;
};

// Commits written data (protocol §10 "write/size ops"): compare-and-set on the version. Either the
// whole file inline (extents empty, every extent of before is dropped) or extents (an inline leaf
// of before is dropped), or neither: size and times alone. Every block named is held durably by
// 2f+1 replicas before this is sent. Clears setuid and setgid as write(2) does unless the caller is
// root. Reply: attributes.
struct CommitData {
  std::uint64_t ino = 0;
  std::uint64_t expected_version = 0;  // 0: any
  std::uint64_t new_size = 0;
  std::int64_t mtime_ns = 0;  // 0: agreed time
  std::optional<Content> inline_data;
  std::vector<ExtentChange> extents;  // ascending offsets, no duplicates

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("ino", s.ino);
    v.field("expected_version", s.expected_version);
    v.field("new_size", s.new_size);
    v.field("mtime_ns", s.mtime_ns);
    v.field("inline_data", s.inline_data);
    v.field("extents", s.extents, Cap{limits::kMaxExtentChanges});
  }
  friend bool operator==(const CommitData&, const CommitData&) = default;
};

// Keeps an unlinked file for this session (an open handle), or lets go of it.
struct Hold {
  std::uint64_t ino = 0;
  bool release = false;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("ino", s.ino);
    v.field("release", s.release);
  }
  friend bool operator==(const Hold&, const Hold&) = default;
};

// Ends the session after this bundle; its holds go with it.
struct CloseSession {
  template <class V, class Self>
  static void fields(V&, Self&) {}
  friend bool operator==(const CloseSession&, const CloseSession&) = default;
};

// A statement of admins: Ed25519 over tag || cluster_id || epoch 0 || encode(body).
struct AdminSignature {
  std::uint32_t admin = 0;  // index in Config::admins
  Signature signature{};

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("admin", s.admin);
    v.field("signature", s.signature);
  }
  friend bool operator==(const AdminSignature&, const AdminSignature&) = default;
};

// What admins decide. Anybody may carry it; admin_threshold distinct valid signatures over the body
// count. It is void after the body's valid_until_us, which may lie at most one hour ahead of agreed
// time, and executed once: the state remembers it until then (keys::used_statement). What was
// refused is not used up. Code::invalid: too late, or too far ahead; not_permitted: too few
// signatures; exists: executed before.
template <class B>
struct AdminStatement {
  using Body = B;
  Body body;
  std::vector<AdminSignature> signatures;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("body", s.body);
    v.field("signatures", s.signatures, Cap{limits::kMaxAdmins});
  }
  friend bool operator==(const AdminStatement&, const AdminStatement&) = default;
};

struct ClientStatement {
  config::Client client;
  bool remove = false;
  std::uint64_t valid_until_us = 0;  // agreed time

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("client", s.client);
    v.field("remove", s.remove);
    v.field("valid_until_us", s.valid_until_us);
  }
  friend bool operator==(const ClientStatement&, const ClientStatement&) = default;
};

struct ConfigStatement {
  Hash config_hash{};  // of the configuration in force
  config::Config next;
  std::uint64_t valid_until_us = 0;  // agreed time

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("config_hash", s.config_hash);
    v.field("next", s.next);
    v.field("valid_until_us", s.valid_until_us);
  }
  friend bool operator==(const ConfigStatement&, const ConfigStatement&) = default;
};

// Registers a client key, or replaces its rules, or takes it away; signed under tags::kAdmin.
// Code::no_entry: there is nothing to take away.
using RegisterClient = AdminStatement<ClientStatement>;

// Proposes the next configuration (protocol §9.2; config/change.hpp says what a step may change);
// signed under tags::kConfig, and bound to the configuration that it was made for. The
// configuration that is in force, unchanged, takes back a change that is not scheduled yet.
// Code::version_conflict: another configuration is in force; exists: another change is pending;
// invalid: no possible step; no_entry: there is nothing to take back.
using ChangeConfig = AdminStatement<ConfigStatement>;

// H(0x19 || what admins sign: tag || cluster_id || epoch 0 || encode(body)). Not of the signatures:
// of enough admins any subset will do, and each would be another statement.
Hash statement_digest(ByteView signed_bytes);

using OperationBody =
    std::variant<Noop, SetAttributes, MakeNode, Link, Remove, Rename, SetXattr, RemoveXattr,
                 CommitData, Hold, CloseSession, RegisterClient, ChangeConfig>;

struct Operation {
  Caller caller;
  OperationBody body;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("caller", s.caller);
    v.field("body", s.body);
  }
  friend bool operator==(const Operation&, const Operation&) = default;
};

// ---- results

struct InodeReply {
  std::uint64_t ino = 0;
  bool created = false;
  Attributes attributes;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("ino", s.ino);
    v.field("created", s.created);
    v.field("attributes", s.attributes);
  }
  friend bool operator==(const InodeReply&, const InodeReply&) = default;
};

struct OpResult {
  Code code = Code::ok;
  std::optional<InodeReply> inode;  // with Code::ok, where the operation answers one

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("code", s.code);
    v.field("inode", s.inode);
  }
  friend bool operator==(const OpResult&, const OpResult&) = default;
};

// What became of a bundle. Only `done` and `expired` are final (protocol §8.2).
enum class BundleOutcome : std::uint8_t {
  done = 0,            // results hold one OpResult per operation
  expired = 1,         // agreed time passed valid_until before it was ordered; number consumed
  skipped = 2,         // an earlier number is not done yet; not consumed
  no_session = 3,      // this seq knows no such session
  result_gone = 4,     // done and acknowledged long ago
  session_opened = 5,  // of a SESSION-OPEN: session_id is set
  open_refused = 6,    // of a SESSION-OPEN: `code` says why
  digest_only = 7,     // done; the results are longer than what is kept
};
bool valid_value(BundleOutcome o);

struct BundleResult {
  BundleOutcome outcome = BundleOutcome::done;
  Code code = Code::ok;
  Id16 session_id{};  // session_opened only
  std::vector<OpResult> results;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("outcome", s.outcome);
    v.field("code", s.code);
    v.field("session_id", s.session_id);
    v.field("results", s.results, Cap{limits::kMaxOpsPerBundle});
  }
  friend bool operator==(const BundleResult&, const BundleResult&) = default;
};

// Static cost of an operation in units of about one leaf written; part of batch validity (§8.4).
std::uint32_t cost_of(const Operation& op);

}  // namespace bftmeta::schema
