// The outcome of a bundle or of a session open, verified (protocol §4.2): results -> reply leaf ->
// path to the batch's reply root -> header chain -> certificate. Nothing of it is believed for the
// replica's sake. Thread-safety: the Certificates' thread.
#pragma once

#include "messages/client.hpp"
#include "verify/trust.hpp"

namespace bftmeta::verify {

// What the client itself sent; session and number are zero for a SESSION-OPEN.
struct Expected {
  Hash request_digest{};
  Id16 session_id{};
  std::uint64_t bundle_no = 0;
};

struct VerifiedReply {
  schema::BundleResult result;
  messages::Seq seq = 0;      // of the batch that holds this outcome
  std::uint64_t time_us = 0;  // agreed time of that batch
};

// Errc::malformed or Errc::unverified, with the reason. The certificate is remembered even when a
// later step fails, never when it does not hold.
Result<VerifiedReply> verify_reply(const messages::Reply& reply, const Expected& expected,
                                   Certificates& certificates);

// `headers` (at least one, consecutive) lead from `history_before` to the certified history, and
// the last one says what the certificate says.
Status verify_header_chain(const Hash& history_before,
                           const std::vector<messages::BatchHeader>& headers,
                           const messages::CertBody& certified);

}  // namespace bftmeta::verify
