#include "verify/proof_file.hpp"

#include "verify/read.hpp"

namespace bftmeta::verify {

namespace {

constexpr std::array<std::uint8_t, 8> kMagic = {'B', 'F', 'T', 'P', 'R', 'O', 'O', 'F'};
constexpr std::uint8_t kKindPath = 1;
constexpr std::size_t kHeader = kMagic.size() + 2;  // magic, version, kind
constexpr std::size_t kCheckSum = 32;

Hash check_sum(ByteView before) {
  return crypto::Hasher(tags::Domain::proof_file).update(before).finish();
}

tl::unexpected<Error> malformed(const std::string& why) {
  return fail(Errc::malformed, "proof file: " + why);
}

}  // namespace

Bytes encode_proof_file(const ProofFile& file) {
  Bytes out(kMagic.begin(), kMagic.end());
  out.push_back(kProofFileVersion);
  out.push_back(kKindPath);
  encode_to(out, file);
  const Hash sum = check_sum(out);
  out.insert(out.end(), sum.begin(), sum.end());
  return out;
}

Result<ProofFile> decode_proof_file(ByteView bytes) {
  if (bytes.size() < kHeader + kCheckSum) return malformed("truncated");
  if (!equal(bytes.first(kMagic.size()), kMagic)) return malformed("not a proof file");
  const std::uint8_t version = bytes[kMagic.size()];
  if (version != kProofFileVersion)
    return malformed("version " + std::to_string(version) +
                     " is unknown to this verifier, which says nothing about the proof; use a "
                     "newer one");
  if (bytes[kMagic.size() + 1] != kKindPath) return malformed("unknown kind of question");
  const ByteView before = bytes.first(bytes.size() - kCheckSum);
  if (!equal(check_sum(before), bytes.last(kCheckSum)))
    return malformed("the check sum is wrong: the file was changed or cut");
  return decode<ProofFile>(before.subspan(kHeader), "proof file");
}

Result<VerifiedProof> verify_proof_file(const crypto::Verifier& verifier, const TrustAnchor& anchor,
                                        ByteView bytes) {
  BFTMETA_ASSIGN(ProofFile file, decode_proof_file(bytes));
  BFTMETA_TRY(messages::verify_cert(verifier, anchor.cluster_id, anchor.config, file.cert));
  BFTMETA_ASSIGN(const tree::PartialTree tree, verify_partial_tree(file.proof, file.cert.body));
  auto fact = path_fact(tree, file.target);
  if (!fact) return fail(Errc::unverified, fact.error().message);
  return VerifiedProof{std::move(file.target), file.cert.body, std::move(*fact)};
}

}  // namespace bftmeta::verify
