// What an operation is executed under: agreed time, the principal that signed it and its rules, and
// the values from which salts and admin statements are checked. Credentials are what permission
// checks see: the effective caller, derived from the rules and never believed from the request.
// Thread-safety: plain values; pointers are borrowed for the length of a call.
#pragma once

#include "crypto/signer.hpp"
#include "schema/operations.hpp"

namespace bftmeta::ns {

constexpr std::uint32_t kNobody = 65534;  // whom root squash turns uid 0 and gid 0 into

struct Context {
  std::uint64_t exec_time_us = 0;              // of this batch (protocol §2.5)
  Id16 session_id{};                           // of the bundle
  const config::ClientRules* rules = nullptr;  // of the session's principal; apply() needs them
  Hash cluster_id{};                           // }
  Hash history_hash{};                         // } of before this batch: salts of new inodes
  const config::Config* config = nullptr;      // of this epoch: admins and their threshold
  const crypto::Verifier* verifier = nullptr;  // of the statements of admins

  // Agreed time in nanoseconds, as it stands in attributes.
  std::int64_t now_ns() const;
};

struct Credentials {
  std::uint32_t uid = kNobody;
  std::uint32_t gid = kNobody;
  std::vector<std::uint32_t> groups;  // supplementary

  bool root() const { return uid == 0; }
  bool in_group(std::uint32_t g) const;
};

// The effective caller. A gateway's request names uid, gid and groups, of which uid must lie in the
// allowed range; for everybody else the rules name them. Root squash turns uid 0 and gid 0 into
// kNobody first. nullopt: a gateway asks for a uid outside its range.
std::optional<Credentials> effective_caller(const config::ClientRules& rules,
                                            const schema::Caller& caller);

// H(0x21 || cluster_id || ino || generation || history_hash): salt of a new inode. The generation
// is 0, since numbers are never used twice.
Hash inode_salt(const Hash& cluster_id, std::uint64_t ino, const Hash& history_hash);

}  // namespace bftmeta::ns
