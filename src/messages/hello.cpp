#include "messages/hello.hpp"

namespace bftmeta::messages {

bool signed_by(const crypto::Verifier& verifier, const crypto::Context& context,
               const config::Config& config, ReplicaId replica, const SignedProposal& m) {
  return config.primary(m.proposal.view) == replica &&
         verify_pre_prepare(verifier, context, config, m.proposal, m.signature);
}

bool signed_by(const crypto::Verifier& verifier, const crypto::Context& context,
               const config::Config& config, ReplicaId replica, const Prepare& m) {
  return m.replica == replica && verify_prepare(verifier, context, config, m);
}

bool signed_by(const crypto::Verifier& verifier, const crypto::Context& context,
               const config::Config& config, ReplicaId replica, const ViewChange& m) {
  return m.replica == replica && replica < config.n() &&
         verifier.verify(config.replicas[replica].vote_key, tags::kViewChange, context,
                         m.body_digest(), m.signature);
}

bool signed_by(const crypto::Verifier& verifier, const crypto::Context& context,
               const config::Config& config, ReplicaId replica, const NewView& m) {
  return config.primary(m.view) == replica &&
         verifier.verify(config.replicas[replica].vote_key, tags::kNewView, context,
                         m.body_digest(), m.signature);
}

}  // namespace bftmeta::messages
