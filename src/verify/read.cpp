#include "verify/read.hpp"

#include "base/mutant.hpp"

namespace bftmeta::verify {

Result<tree::PartialTree> verify_partial_tree(ByteView proof, const messages::CertBody& certified) {
  BFTMETA_ASSIGN(tree::PartialTree tree, tree::PartialTree::parse(proof));
  if (tree.state_root(certified.cluster_id, certified.sm_version) != certified.state_root &&
      !mutant(Mutant::proof_root_unchecked))
    return fail(Errc::unverified,
                "partial tree: its root is not the one certified at sequence number " +
                    std::to_string(certified.seq));
  return tree;
}

Result<VerifiedRead> verify_read(const messages::ReadReply& reply, messages::Seq min_seq,
                                 Certificates& certificates) {
  const auto refuse = [](const std::string& why) { return fail(Errc::unverified, "read: " + why); };
  if (reply.seq < min_seq && !mutant(Mutant::stale_answer_accepted))
    return refuse("the root of sequence number " + std::to_string(reply.seq) +
                  " is stale, at least " + std::to_string(min_seq) + " was asked for");
  if (reply.cert) {
    if (reply.cert->body.seq != reply.seq)
      return refuse("the certificate is of another sequence number than the answer");
    BFTMETA_TRY(certificates.check(*reply.cert));
  }
  const messages::RootCert* cert = certificates.find(reply.seq);
  if (cert == nullptr)
    return refuse("no certificate of sequence number " + std::to_string(reply.seq) +
                  " came with the answer");
  BFTMETA_ASSIGN(tree::PartialTree tree, verify_partial_tree(reply.proof, cert->body));
  return VerifiedRead{reply.seq, cert->body.time_us, std::move(tree)};
}

}  // namespace bftmeta::verify
