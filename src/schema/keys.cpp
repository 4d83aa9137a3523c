#include "schema/keys.hpp"

#include "base/assert.hpp"
#include "crypto/hash.hpp"

namespace bftmeta::schema::keys {

namespace {

enum Table : std::uint8_t {
  kInodes = 0x10,
  kSessions = 0x20,
  kOpenDigests = 0x21,
  kTombstones = 0x22,
  kLeases = 0x30,
  kOrphans = 0x31,
  kGarbage = 0x32,
  kTombstoneExpiries = 0x33,
  kUsers = 0x40,
  kConfigs = 0x50,
  kUsedStatements = 0x51,
  kCounters = 0x60,
};

constexpr std::size_t kDirentHashAt = 1 + 8 + 1;
constexpr std::uint64_t kMaxCookie = (1ULL << 63) - 1;
constexpr std::uint64_t kFirstCookie = 3;

Key table(Table t) { return Key().append_u8(t); }

Id16 id_at(const Key& key, std::size_t at) {
  BFTMETA_ASSERT(key.size() >= at + 16);
  Id16 id;
  std::copy_n(key.data() + at, id.size(), id.begin());
  return id;
}

std::uint64_t u64_at(const Key& key, std::size_t at) {
  BFTMETA_ASSERT(key.size() >= at + 8);
  return load_be64(key.data() + at);
}

}  // namespace

Key inode_prefix(std::uint64_t ino) { return table(kInodes).append_be64(ino); }
Key inode(std::uint64_t ino, InodeKind kind) {
  return inode_prefix(ino).append_u8(static_cast<std::uint8_t>(kind));
}
Key attributes(std::uint64_t ino) { return inode(ino, InodeKind::attributes); }
Key dirent(std::uint64_t dir, const Hash& h) { return dirents(dir).append(h); }
Key dirents(std::uint64_t dir) { return inode(dir, InodeKind::dirent); }
Key xattr(std::uint64_t ino, const Hash& h) { return xattrs(ino).append(h); }
Key xattrs(std::uint64_t ino) { return inode(ino, InodeKind::xattr); }
Key extent(std::uint64_t ino, std::uint64_t offset) { return extents(ino).append_be64(offset); }
Key extents(std::uint64_t ino) { return inode(ino, InodeKind::extent); }
Key inline_data(std::uint64_t ino) { return inode(ino, InodeKind::inline_data); }
Key symlink(std::uint64_t ino) { return inode(ino, InodeKind::symlink); }
Key hold(std::uint64_t ino, const Id16& session) { return holds(ino).append(session); }
Key holds(std::uint64_t ino) { return inode(ino, InodeKind::hold); }

Hash name_hash(const Hash& salt, ByteView name) {
  return crypto::Hasher(tags::Domain::name).update(salt).update(name).finish();
}

std::uint64_t cookie_of(const Hash& h) {
  return std::min((load_be64(h.data()) >> 1), kMaxCookie - kFirstCookie) + kFirstCookie;
}

std::uint64_t cookie_of_dirent_key(const Key& key) {
  return std::min(u64_at(key, kDirentHashAt) >> 1, kMaxCookie - kFirstCookie) + kFirstCookie;
}

Key dirent_at_cookie(std::uint64_t dir, std::uint64_t cookie) {
  if (cookie <= kFirstCookie) return dirents(dir);
  return dirents(dir).append_be64((std::min(cookie, kMaxCookie) - kFirstCookie) << 1);
}

Key session_prefix(const Id16& id) { return table(kSessions).append(id); }
Key session(const Id16& id) { return session_prefix(id).append_u8(0x00); }
Key session_results(const Id16& id) { return session_prefix(id).append_u8(0x10); }
Key session_result(const Id16& id, std::uint64_t no) { return session_results(id).append_be64(no); }
Key session_holds(const Id16& id) { return session_prefix(id).append_u8(0x20); }
Key session_hold(const Id16& id, std::uint64_t ino) { return session_holds(id).append_be64(ino); }
Key sessions() { return table(kSessions); }
Key open_digest(std::uint64_t until, const Hash& digest) {
  return table(kOpenDigests).append_be64(until).append(digest);
}
Key open_digests() { return table(kOpenDigests); }
Key tombstone(const Id16& id) { return tombstone_table().append(id); }
Key tombstone_table() { return table(kTombstones); }
Key tombstone_expiry(std::uint64_t expiry, const Id16& id) {
  return table(kTombstoneExpiries).append_be64(expiry).append(id);
}
Key tombstone_expiries() { return table(kTombstoneExpiries); }
Key lease(std::uint64_t expiry, const Id16& id) {
  return table(kLeases).append_be64(expiry).append(id);
}
Key leases() { return table(kLeases); }
Key orphan(std::uint64_t expiry, std::uint64_t ino) {
  return table(kOrphans).append_be64(expiry).append_be64(ino);
}
Key orphans() { return table(kOrphans); }
Key garbage(std::uint64_t ino) { return table(kGarbage).append_be64(ino); }
Key garbages() { return table(kGarbage); }
Key principal(const PublicKey& key) { return principals().append(key); }
Key principals() { return table(kUsers).append_u8(0x00); }
Key config(std::uint64_t epoch) { return table(kConfigs).append_u8(0x00).append_be64(epoch); }
Key pending_change() { return table(kConfigs).append_u8(0x10); }
Key retired(const PublicKey& key) { return table(kConfigs).append_u8(0x20).append(key); }
Key used_statement(std::uint64_t until, const Hash& digest) {
  return used_statements().append_be64(until).append(digest);
}
Key used_statements() { return table(kUsedStatements); }
Key counters() { return table(kCounters).append_u8(0x00); }
Key history_frontier() { return table(kCounters).append_u8(0x10); }

std::uint64_t ino_of(const Key& key) { return u64_at(key, 1); }
std::uint64_t expiry_of(const Key& key) { return u64_at(key, 1); }
Id16 session_of_index(const Key& key) { return id_at(key, 1 + 8); }
Id16 session_of(const Key& key) { return id_at(key, 1); }
Hash digest_of_open(const Key& key) {
  BFTMETA_ASSERT(key.size() == 1 + 8 + 32);
  Hash digest;
  std::copy_n(key.data() + 1 + 8, digest.size(), digest.begin());
  return digest;
}
Id16 session_of_hold(const Key& key) { return id_at(key, 1 + 8 + 1); }
std::uint64_t ino_of_session_hold(const Key& key) { return u64_at(key, 1 + 16 + 1); }
std::uint64_t ino_of_orphan(const Key& key) { return u64_at(key, 1 + 8); }
std::uint64_t ino_of_garbage(const Key& key) { return u64_at(key, 1); }
std::uint64_t offset_of_extent(const Key& key) { return u64_at(key, 1 + 8 + 1); }
bool is_extent(const Key& key) {
  return key.size() == 1 + 8 + 1 + 8 && key.starts_with(extents(ino_of(key)));
}

}  // namespace bftmeta::schema::keys
