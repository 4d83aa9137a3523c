// The answer to a read, verified (protocol §6.1): a partial tree whose root a quorum has signed, at
// a sequence number that is not older than what was asked for. Thread-safety: the Certificates'
// thread; the VerifiedRead is a value.
#pragma once

#include "messages/client.hpp"
#include "tree/proof.hpp"
#include "verify/trust.hpp"

namespace bftmeta::verify {

struct VerifiedRead {
  messages::Seq seq = 0;
  std::uint64_t time_us = 0;  // agreed time of that root
  tree::PartialTree tree;
};

// Precondition: reply.status == ok. A certificate that the reply leaves out must be one that was
// checked before. Errc::malformed or Errc::unverified, with the reason.
Result<VerifiedRead> verify_read(const messages::ReadReply& reply, messages::Seq min_seq,
                                 Certificates& certificates);

// `proof` parses and its root is the one that `certified` states.
Result<tree::PartialTree> verify_partial_tree(ByteView proof, const messages::CertBody& certified);

}  // namespace bftmeta::verify
