// What a replica must know beside the tree to go on after `seq`: stored as the meta bytes of a
// flush and handed over by a state transfer. Thread-safety: plain value.
#pragma once

#include "messages/transfer.hpp"

namespace bftmeta::execution {

struct Checkpoint {
  std::uint8_t format = 2;
  messages::Seq seq = 0;
  messages::BatchHeader header;            // of seq; all zero at genesis
  Hash history_before{};                   // history_hash(seq - 1); all zero at genesis
  Hash history_hash{};                     // history_hash(seq)
  std::uint64_t time_us = 0;               // exec_time of seq
  messages::CertBody body;                 // of seq, what this replica signed
  std::optional<messages::RootCert> cert;  // the newest that is held, any seq <= `seq`

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("seq", s.seq);
    v.field("header", s.header);
    v.field("history_before", s.history_before);
    v.field("history_hash", s.history_hash);
    v.field("time_us", s.time_us);
    v.field("body", s.body);
    v.field("cert", s.cert);
  }
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

// Strict; Errc::malformed, or Errc::corrupt when the parts contradict each other.
Result<Checkpoint> decode_checkpoint(ByteView bytes);

// What a state transfer hands over, as a checkpoint. Precondition: `state` is verified.
Checkpoint checkpoint_of(const messages::CertifiedState& state);
// The same the other way round. Precondition: `cert` is of the checkpoint's body, not of genesis.
messages::CertifiedState certified_state(const Checkpoint& checkpoint,
                                         const messages::RootCert& cert);

}  // namespace bftmeta::execution
