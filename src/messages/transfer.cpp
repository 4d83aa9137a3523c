#include "messages/transfer.hpp"

namespace bftmeta::messages {

bool SubtreeName::canonical() const {
  if (bits > 8 * Key::kMaxSize || prefix.size() != (bits + 7U) / 8) return false;
  return bits % 8 == 0 || (prefix.view().back() & (0xffU >> (bits % 8))) == 0;
}

Status verify_certified_state(const crypto::Verifier& verifier, const Hash& cluster_id,
                              const config::Config& config, const CertifiedState& state) {
  BFTMETA_TRY(verify_cert(verifier, cluster_id, config, state.cert));
  return verify_state_header(state);
}

Status verify_state_header(const CertifiedState& state) {
  const CertBody& body = state.cert.body;
  const BatchHeader& h = state.header;
  const bool same = h.seq == body.seq && h.time_us == body.time_us &&
                    h.reply_root == body.reply_root && h.reply_count == body.reply_count &&
                    h.state_root == body.state_root &&
                    extend_history(state.history_before, h) == body.history_hash;
  if (!same)
    return fail(Errc::unverified, "certified state of sequence number " + std::to_string(body.seq) +
                                      ": its batch header is not the one that the certificate "
                                      "covers; ask another replica");
  return {};
}

}  // namespace bftmeta::messages
