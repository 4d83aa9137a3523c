// A proof file: what the map of one cluster said about one path at one certified sequence number,
// verifiable with the genesis alone (docs/formats/proof-file.md). One encoding per file; every bit
// is fixed, or hashed into the certified root, or signed, or covered by the check sum that names
// the question. A proof of a later epoch carries the steps that lead there (version 2); one of the
// first epoch has none (version 1). Thread-safety: pure functions.
#pragma once

#include "messages/certificate.hpp"
#include "verify/epoch_chain.hpp"
#include "verify/path_fact.hpp"

namespace bftmeta::verify {

// One partial tree, one certificate, one path, and the steps.
constexpr std::size_t kMaxProofFile = limits::kMaxProof + 128 * 1024 + kMaxChainFile;

struct ProofFile {
  schema::Target target;                   // the question
  std::vector<messages::EpochStep> steps;  // from the genesis to the epoch of the certificate
  messages::RootCert cert;                 // the root under which it is answered
  Bytes proof;                             // partial tree that answers it

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("target", s.target);
    v.field("steps", s.steps, Cap{limits::kMaxEpochs});
    v.field("cert", s.cert);
    v.field("proof", s.proof, Cap{limits::kMaxProof});
  }
};

struct VerifiedProof {
  schema::Target target;
  messages::CertBody certified;
  PathFact fact;
};

Bytes encode_proof_file(const ProofFile& file);
// Structure only: magic, version, kind, fields, check sum, no trailing byte. Errc::malformed.
Result<ProofFile> decode_proof_file(ByteView bytes);
// Everything. Errc::malformed or Errc::unverified: exit code 4.
Result<VerifiedProof> verify_proof_file(const crypto::Verifier& verifier, const TrustAnchor& anchor,
                                        ByteView bytes);

}  // namespace bftmeta::verify
