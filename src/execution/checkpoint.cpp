#include "execution/checkpoint.hpp"

#include "base/assert.hpp"

namespace bftmeta::execution {

Result<Checkpoint> decode_checkpoint(ByteView bytes) {
  BFTMETA_ASSIGN(Checkpoint c, decode<Checkpoint>(bytes, "checkpoint"));
  if (c.format != Checkpoint{}.format) return fail(Errc::malformed, "checkpoint: unknown format");
  const messages::CertBody& b = c.body;
  const bool whole =
      c.header.seq == c.seq && b.seq == c.seq && b.history_hash == c.history_hash &&
      b.time_us == c.time_us && (c.seq == 0 || c.header.time_us == c.time_us) &&
      (c.seq == 0 || (c.header.state_root == b.state_root && c.header.reply_root == b.reply_root &&
                      c.header.reply_count == b.reply_count &&
                      messages::extend_history(c.history_before, c.header) == c.history_hash)) &&
      (!c.cert || c.cert->body.seq <= c.seq);
  if (!whole)
    return fail(Errc::corrupt, "checkpoint of sequence number " + std::to_string(c.seq) +
                                   ": its parts contradict each other");
  return c;
}

Checkpoint checkpoint_of(const messages::CertifiedState& state) {
  const messages::CertBody& body = state.cert.body;
  Checkpoint c;
  c.seq = body.seq;
  c.header = state.header;
  c.history_before = state.history_before;
  c.history_hash = body.history_hash;
  c.time_us = body.time_us;
  c.body = body;
  c.cert = state.cert;
  return c;
}

messages::CertifiedState certified_state(const Checkpoint& checkpoint,
                                         const messages::RootCert& cert) {
  BFTMETA_ASSERT(cert.body == checkpoint.body && checkpoint.seq != 0);
  return {cert, checkpoint.header, checkpoint.history_before};
}

}  // namespace bftmeta::execution
