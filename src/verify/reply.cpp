#include "verify/reply.hpp"

#include "base/mutant.hpp"
#include "messages/merkle.hpp"

namespace bftmeta::verify {

namespace {

tl::unexpected<Error> refuse(const std::string& why) {
  return fail(Errc::unverified, "reply: " + why);
}

Status check_subject(const messages::Reply& reply, const Expected& expected) {
  if (reply.request_digest != expected.request_digest)
    return refuse("it answers another request (" + short_hex(reply.request_digest) +
                  " instead of " + short_hex(expected.request_digest) + ")");
  if (reply.session_id != expected.session_id) return refuse("it is of another session");
  if (reply.bundle_no != expected.bundle_no)
    return refuse("it is of bundle " + std::to_string(reply.bundle_no) + " instead of " +
                  std::to_string(expected.bundle_no));
  return {};
}

}  // namespace

Status verify_header_chain(const Hash& history_before,
                           const std::vector<messages::BatchHeader>& headers,
                           const messages::CertBody& certified) {
  if (headers.empty()) return refuse("no batch header");
  Hash history = history_before;
  messages::Seq next = headers.front().seq;
  for (const messages::BatchHeader& header : headers) {
    if (header.seq != next++) return refuse("the batch headers are not consecutive");
    history = messages::extend_history(history, header);
  }
  if (history != certified.history_hash)
    return refuse("the batch headers do not lead to the certified history");
  const messages::BatchHeader& last = headers.back();
  if (last.seq != certified.seq || last.time_us != certified.time_us ||
      last.reply_root != certified.reply_root || last.reply_count != certified.reply_count ||
      last.state_root != certified.state_root)
    return refuse("the last batch header is not that of the certificate");
  return {};
}

Result<VerifiedReply> verify_reply(const messages::Reply& reply, const Expected& expected,
                                   Certificates& certificates) {
  BFTMETA_TRY(check_subject(reply, expected));
  BFTMETA_TRY(verify_header_chain(reply.history_before, reply.headers, reply.cert.body));
  const messages::BatchHeader& batch = reply.headers.front();
  const Hash leaf =
      messages::reply_leaf(expected.session_id, expected.bundle_no, expected.request_digest,
                           messages::results_digest(reply.results));
  if (!mutant(Mutant::reply_unproven) &&
      !messages::verify_merkle_path(leaf, reply.leaf_index, batch.reply_count, reply.path,
                                    batch.reply_root, messages::reply_node))
    return refuse("the path does not lead to the reply root of batch " + std::to_string(batch.seq));
  BFTMETA_TRY(certificates.check(reply.cert));
  BFTMETA_ASSIGN(schema::BundleResult result,
                 decode<schema::BundleResult>(reply.results, "bundle result"));
  return VerifiedReply{std::move(result), batch.seq, batch.time_us};
}

}  // namespace bftmeta::verify
