// The keys of the authenticated map (protocol §7.2, architecture §5). Integers in keys are
// big-endian. Prefix-free by construction: the length is fixed per (table, kind). Frozen by
// test/vectors/keys.txt. Thread-safety: pure functions.
#pragma once

#include "base/bytes.hpp"

namespace bftmeta::schema::keys {

// 0x10 | ino(8) | kind(1) | sub
enum class InodeKind : std::uint8_t {
  attributes = 0x00,   // no sub
  dirent = 0x10,       // sub = name_hash(salt of the directory, name), 32 bytes
  xattr = 0x20,        // sub = name_hash(salt of the inode, name), 32 bytes
  extent = 0x30,       // sub = offset, 8 bytes, a multiple of kBlockSize
  inline_data = 0x38,  // no sub
  lock = 0x40,         // reserved: sub = owner hash, 32 bytes
  symlink = 0x50,      // no sub: the target
  hold = 0x60,         // sub = session id, 16 bytes: an open handle on an unlinked file
};

Key inode_prefix(std::uint64_t ino);
Key inode(std::uint64_t ino, InodeKind kind);  // a whole key for kinds without sub, else a prefix
Key attributes(std::uint64_t ino);
Key dirent(std::uint64_t dir, const Hash& name_hash);
Key dirents(std::uint64_t dir);  // prefix: one subtree holds all entries of a directory
Key xattr(std::uint64_t ino, const Hash& name_hash);
Key xattrs(std::uint64_t ino);  // prefix
Key extent(std::uint64_t ino, std::uint64_t offset);
Key extents(std::uint64_t ino);  // prefix
Key inline_data(std::uint64_t ino);
Key symlink(std::uint64_t ino);
Key hold(std::uint64_t ino, const Id16& session);
Key holds(std::uint64_t ino);  // prefix

// H(0x20 || salt || name): a directory's order and a readdir cookie come from it.
Hash name_hash(const Hash& salt, ByteView name);
// Readdir cookie of an entry: the first 63 bits of its name hash. 0, 1 and 2 are kept free for the
// start, "." and ".." by adding 3 (saturating at 2^63 - 1): monotone in the hash.
std::uint64_t cookie_of(const Hash& name_hash);
std::uint64_t cookie_of_dirent_key(const Key& key);  // precondition: made by dirent()
// First dirent key whose cookie is >= cookie.
Key dirent_at_cookie(std::uint64_t dir, std::uint64_t cookie);

// 0x20 | session id(16) | 0x00 record; | 0x10 | bundle_no(8) stored results
Key session(const Id16& id);
Key session_prefix(const Id16& id);
Key session_result(const Id16& id, std::uint64_t bundle_no);
Key session_results(const Id16& id);  // prefix
// 0x20 | session id(16) | 0x20 | ino(8): what the session holds, the other side of hold()
Key session_hold(const Id16& id, std::uint64_t ino);
Key session_holds(const Id16& id);  // prefix
Key sessions();                     // prefix of the table
// 0x21 | valid_until_us(8) | open_digest(32)
Key open_digest(std::uint64_t valid_until_us, const Hash& digest);
Key open_digests();  // prefix of the table
// 0x22 | session id(16): tombstone of an evicted session; 0x33 | expiry_us(8) | session id(16): its
// index
Key tombstone(const Id16& id);
Key tombstone_table();  // prefix
Key tombstone_expiry(std::uint64_t expiry_us, const Id16& id);
Key tombstone_expiries();  // prefix
// 0x30 | expiry_us(8) | session id(16): lease index
Key lease(std::uint64_t expiry_us, const Id16& id);
Key leases();  // prefix
// 0x31 | expiry_us(8) | ino(8): orphan index; 0x32 | ino(8): extents waiting to be purged
Key orphan(std::uint64_t expiry_us, std::uint64_t ino);
Key orphans();  // prefix
Key garbage(std::uint64_t ino);
Key garbages();  // prefix
// 0x40 | 0x00 | sign_key(32): principal
Key principal(const PublicKey& sign_key);
Key principals();  // prefix
// 0x50 | 0x00 | epoch(8): Config; 0x50 | 0x10: PendingChange; 0x50 | 0x20 | vote_key(32): a marker,
// the key of a member that left and never comes back
Key config(std::uint64_t epoch);
Key pending_change();
Key retired(const PublicKey& vote_key);
// 0x51 | valid_until_us(8) | statement_digest(32): a statement of admins that was executed
Key used_statement(std::uint64_t valid_until_us, const Hash& digest);
Key used_statements();  // prefix of the table
// 0x60 | kind(1): counters
Key counters();          // 0x60 | 0x00
Key history_frontier();  // 0x60 | 0x10

// Fields of a key that was made by the function of the same name.
std::uint64_t ino_of(const Key& key);     // any 0x10 key
std::uint64_t expiry_of(const Key& key);  // every key that has expiry_us or valid_until_us
Id16 session_of_index(const Key& key);    // lease, tombstone_expiry
Id16 session_of(const Key& key);          // session, session_result, session_hold, tombstone
Hash digest_of_open(const Key& key);      // open_digest
Id16 session_of_hold(const Key& key);
std::uint64_t ino_of_session_hold(const Key& key);
std::uint64_t ino_of_orphan(const Key& key);
std::uint64_t ino_of_garbage(const Key& key);
std::uint64_t offset_of_extent(const Key& key);
bool is_extent(const Key& key);  // of any key

}  // namespace bftmeta::schema::keys
