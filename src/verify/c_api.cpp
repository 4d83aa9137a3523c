#include <bftmeta/verify.h>

#include <algorithm>

#include "verify/proof_file.hpp"

namespace bftmeta::verify {

namespace {

static_assert(BFTMETA_NOT_VERIFIED == static_cast<int>(ExitCode::verification_failed));
static_assert(BFTMETA_BAD_GENESIS == static_cast<int>(ExitCode::usage));
static_assert(BFTMETA_PATH_MAX >
              limits::kMaxPathComponents * (limits::kMaxName + 1) + sizeof("inode ") + 20);

template <std::size_t N>
void copy_text(char (&to)[N], const std::string& from) {
  const std::size_t length = std::min(from.size(), N - 1);
  std::copy_n(from.data(), length, to);
  to[length] = '\0';
}

void fill(bftmeta_proof_result& out, const VerifiedProof& proof) {
  std::ranges::copy(proof.certified.cluster_id, out.cluster_id);
  std::ranges::copy(proof.certified.state_root, out.state_root);
  out.seq = proof.certified.seq;
  out.time_us = proof.certified.time_us;
  copy_text(out.path, target_name(proof.target));
  out.exists = proof.fact.exists ? 1 : 0;
  if (!proof.fact.exists) return;
  const schema::Attributes& a = proof.fact.attributes;
  out.ino = proof.fact.ino;
  out.mode = static_cast<std::uint32_t>(a.type) << 12 | a.mode;
  out.nlink = a.nlink;
  out.uid = a.uid;
  out.gid = a.gid;
  out.size = a.size;
  out.rdev = a.rdev;
  out.version = a.version;
  out.atime_ns = a.atime_ns;
  out.mtime_ns = a.mtime_ns;
  out.ctime_ns = a.ctime_ns;
  out.btime_ns = a.btime_ns;
}

}  // namespace

}  // namespace bftmeta::verify

extern "C" int bftmeta_verify_proof(const uint8_t* genesis, size_t genesis_len,
                                    const uint8_t* proof, size_t proof_len,
                                    bftmeta_proof_result* out) {
  using namespace bftmeta;
  *out = {};
  const auto anchor = verify::TrustAnchor::from_genesis({genesis, genesis_len});
  if (!anchor) {
    verify::copy_text(out->message, anchor.error().message);
    return BFTMETA_BAD_GENESIS;
  }
  const crypto::Ed25519Verifier verifier;
  const auto verified = verify::verify_proof_file(verifier, *anchor, {proof, proof_len});
  if (!verified) {
    verify::copy_text(out->message, verified.error().message);
    return BFTMETA_NOT_VERIFIED;
  }
  verify::fill(*out, *verified);
  return BFTMETA_VERIFIED;
}
