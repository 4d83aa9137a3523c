// The store identity: which data directory belongs to which vote key. keygen makes it together with
// the key; bftmetad never makes one, because a key without its log may already have voted
// (protocol §3.6): a new directory needs a new key.
//
// Life: keygen writes it with incarnation 0. The first start of bftmetad creates the log, then
// binds cluster and replica id; every start makes incarnation + 1 durable before the first vote. So
// incarnation > 0 and no log means a lost log: refuse. Mode 0600 (it holds a secret), canonical
// encoding with its SHA-256 behind it; twice on the disk, since nobody else has it and rot in one
// must not cost the key. Thread-safety: plain values.
#pragma once

#include <string>

#include "base/codec.hpp"

namespace bftmeta::config {

// Name of the file inside the data directory.
constexpr const char* kIdentityFile = "identity";
// What stands behind the name of the second of two files that say the same.
constexpr const char* kCopySuffix = ".copy";

struct StoreIdentity {
  std::uint8_t format = 2;
  Id16 uuid{};              // random
  Hash log_secret{};        // random; keys the digest of log groups (protocol §3.3)
  Hash vote_fingerprint{};  // crypto::fingerprint of the vote key
  std::uint64_t incarnation = 0;
  Hash cluster_id{};             // zero until the first start
  std::uint32_t replica_id = 0;  // meaningful when cluster_id is not zero

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("uuid", s.uuid);
    v.field("log_secret", s.log_secret);
    v.field("vote_fingerprint", s.vote_fingerprint);
    v.field("incarnation", s.incarnation);
    v.field("cluster_id", s.cluster_id);
    v.field("replica_id", s.replica_id);
  }
  friend bool operator==(const StoreIdentity&, const StoreIdentity&) = default;
};

// A new one for this vote key, written to `path`; never overwrites.
Status create_identity(const std::string& path, const PublicKey& vote_key);

// Of the second file where the first is damaged or cannot be read. Errors: not_found, permission
// (readable by others), corrupt, io: of the first.
Result<StoreIdentity> load_identity(const std::string& path);

// Replaces both files, one after the other: the old or the new content survives a crash, and the
// new one once this returns.
Status replace_identity(const std::string& path, const StoreIdentity& identity);

// Errc::identity unless the identity belongs to this key and, once bound, to this cluster and
// replica. `path` is named in the message.
Status check_identity(const std::string& path, const StoreIdentity& identity,
                      const PublicKey& vote_key, const Hash& cluster_id, std::uint32_t replica_id);

}  // namespace bftmeta::config
