#include "execution/checkpoint.hpp"

namespace bftmeta::execution {

Result<Checkpoint> decode_checkpoint(ByteView bytes) {
  BFTMETA_ASSIGN(Checkpoint c, decode<Checkpoint>(bytes, "checkpoint"));
  if (c.format != 1) return fail(Errc::malformed, "checkpoint: unknown format");
  const messages::CertBody& b = c.body;
  const bool whole =
      c.header.seq == c.seq && b.seq == c.seq && b.history_hash == c.history_hash &&
      b.time_us == c.time_us && (c.seq == 0 || c.header.time_us == c.time_us) &&
      (c.seq == 0 || (c.header.state_root == b.state_root && c.header.reply_root == b.reply_root &&
                      c.header.reply_count == b.reply_count)) &&
      (!c.cert || c.cert->body.seq <= c.seq);
  if (!whole)
    return fail(Errc::corrupt, "checkpoint of sequence number " + std::to_string(c.seq) +
                                   ": its parts contradict each other");
  return c;
}

}  // namespace bftmeta::execution
