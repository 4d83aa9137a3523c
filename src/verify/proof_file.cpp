#include "verify/proof_file.hpp"

#include "verify/read.hpp"

namespace bftmeta::verify {

namespace {

constexpr std::array<std::uint8_t, 8> kMagic = {'B', 'F', 'T', 'P', 'R', 'O', 'O', 'F'};
constexpr std::uint8_t kFirstEpoch = 1;   // version without steps
constexpr std::uint8_t kLaterEpochs = 2;  // version with steps
constexpr std::uint8_t kKindPath = 1;
constexpr std::size_t kHeader = kMagic.size() + 2;  // magic, version, kind
constexpr std::size_t kCheckSum = 32;

// Fields of version 1.
struct FirstEpochFile {
  schema::Target target;
  messages::RootCert cert;
  Bytes proof;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("target", s.target);
    v.field("cert", s.cert);
    v.field("proof", s.proof, Cap{limits::kMaxProof});
  }
};

Hash check_sum(ByteView before) {
  return crypto::Hasher(tags::Domain::proof_file).update(before).finish();
}

tl::unexpected<Error> malformed(const std::string& why) {
  return fail(Errc::malformed, "proof file: " + why);
}

}  // namespace

Bytes encode_proof_file(const ProofFile& file) {
  Bytes out(kMagic.begin(), kMagic.end());
  out.push_back(file.steps.empty() ? kFirstEpoch : kLaterEpochs);
  out.push_back(kKindPath);
  if (file.steps.empty())
    encode_to(out, FirstEpochFile{file.target, file.cert, file.proof});
  else
    encode_to(out, file);
  const Hash sum = check_sum(out);
  out.insert(out.end(), sum.begin(), sum.end());
  return out;
}

Result<ProofFile> decode_proof_file(ByteView bytes) {
  if (bytes.size() < kHeader + kCheckSum) return malformed("truncated");
  if (!equal(bytes.first(kMagic.size()), kMagic)) return malformed("not a proof file");
  const std::uint8_t version = bytes[kMagic.size()];
  if (version != kFirstEpoch && version != kLaterEpochs)
    return malformed("version " + std::to_string(version) +
                     " is unknown to this verifier, which says nothing about the proof; use a "
                     "newer one");
  if (bytes[kMagic.size() + 1] != kKindPath) return malformed("unknown kind of question");
  const ByteView before = bytes.first(bytes.size() - kCheckSum);
  if (!equal(check_sum(before), bytes.last(kCheckSum)))
    return malformed("the check sum is wrong: the file was changed or cut");
  const ByteView fields = before.subspan(kHeader);
  if (version == kFirstEpoch) {
    BFTMETA_ASSIGN(FirstEpochFile file, decode<FirstEpochFile>(fields, "proof file"));
    return ProofFile{std::move(file.target), {}, std::move(file.cert), std::move(file.proof)};
  }
  BFTMETA_ASSIGN(ProofFile file, decode<ProofFile>(fields, "proof file"));
  if (file.steps.empty()) return malformed("version 2 without steps: the first epoch's is 1");
  return file;
}

Result<VerifiedProof> verify_proof_file(const crypto::Verifier& verifier, const TrustAnchor& anchor,
                                        ByteView bytes) {
  BFTMETA_ASSIGN(ProofFile file, decode_proof_file(bytes));
  BFTMETA_ASSIGN(const TrustAnchor then, follow_chain(verifier, anchor, file.steps));
  BFTMETA_TRY(messages::verify_cert(verifier, then.cluster_id, then.config, file.cert));
  BFTMETA_ASSIGN(const tree::PartialTree tree, verify_partial_tree(file.proof, file.cert.body));
  auto fact = path_fact(tree, file.target);
  if (!fact) return fail(Errc::unverified, fact.error().message);
  return VerifiedProof{std::move(file.target), file.cert.body, std::move(*fact)};
}

}  // namespace bftmeta::verify
