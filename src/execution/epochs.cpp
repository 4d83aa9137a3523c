#include "execution/epochs.hpp"

#include <bit>
#include <limits>

#include "schema/keys.hpp"

namespace bftmeta::execution {

namespace keys = schema::keys;
using schema::Code;

bool enough_ready(const config::Config& from, const schema::PendingChange& change) {
  for (const std::uint32_t i : config::difference(from, change.next).joining)
    if ((change.ready >> i & 1) == 0) return false;
  return static_cast<std::uint32_t>(std::popcount(change.ready)) >= change.next.quorum();
}

std::optional<schema::PendingChange> Epochs::pending() {
  return state_.load<schema::PendingChange>(keys::pending_change(), "pending change");
}

schema::BundleResult Epochs::ready(const messages::Ready& ready, bool& first_time) {
  first_time = false;
  schema::BundleResult result;
  result.code = Code::no_entry;
  auto change = pending();
  if (!change || change->epoch_end_seq != 0 || schema::proposal_hash(*change) != ready.proposal)
    return result;
  const auto member = config::position_of(change->next, ready.vote_key);
  if (!member) return result;
  first_time = (change->ready >> *member & 1) == 0;
  result.code = first_time ? Code::ok : Code::exists;
  if (!first_time) return result;
  change->ready |= 1U << *member;
  state_.store(keys::pending_change(), *change);
  return result;
}

// L batches ahead: nobody votes beyond the window of its certificate, so a replica that does not
// know of the end yet can not have voted beyond it (protocol §9.2).
Epochs::End Epochs::close_batch() {
  auto change = pending();
  if (!change) return {};
  if (change->epoch_end_seq == 0) {
    if (enough_ready(in_force_, *change)) {
      change->epoch_end_seq = clock_.seq + limits::kWindow;
      state_.store(keys::pending_change(), *change);
    } else if (clock_.time_us > change->deadline_us) {
      state_.erase(keys::pending_change());
    }
  }
  if (change->epoch_end_seq != clock_.seq) return {change->epoch_end_seq, std::nullopt};
  end_epoch(change->next);
  return {clock_.seq, std::move(change->next)};
}

void Epochs::end_epoch(const config::Config& next) {
  for (const std::uint32_t i : config::difference(in_force_, next).leaving)
    state_.mark(keys::retired(in_force_.replicas[i].vote_key));
  state_.store(keys::config(next.epoch), schema::ConfigRecord{schema::kRecordFormat, next});
  state_.erase(keys::pending_change());
}

Result<Joining> joining(const tree::Reader& state, const messages::CertBody& body,
                        const PublicKey& vote_key) {
  Joining says;
  says.epoch_end = body.epoch_end_seq;
  if (body.next_config_hash != Hash{}) {
    BFTMETA_ASSIGN(const config::Config next, config_after(state, body));
    says.end_share = config::position_of(next, vote_key);
    says.expected = says.end_share.has_value();
    return says;
  }
  Bytes value;
  if (state.get(keys::pending_change(), value) != tree::Found::value) return says;
  BFTMETA_ASSIGN(const auto change,
                 schema::decode_record<schema::PendingChange>(value, "pending change"));
  const auto position = config::position_of(change.next, vote_key);
  says.expected = position.has_value();
  if (position && change.epoch_end_seq == 0 && (change.ready >> *position & 1) == 0)
    says.ready = messages::Ready{schema::proposal_hash(change), vote_key, body.seq};
  return says;
}

Result<config::Config> config_after(const tree::Reader& state, const messages::CertBody& body) {
  const bool ended = body.next_config_hash != Hash{};
  const std::uint64_t epoch = ended ? body.epoch + 1 : body.epoch;
  const auto corrupt = [&](const char* why) {
    return fail(Errc::corrupt, "state of sequence number " + std::to_string(body.seq) +
                                   ": configuration of epoch " + std::to_string(epoch) + ": " +
                                   why);
  };
  Bytes value;
  if (state.get(keys::config(epoch), value) != tree::Found::value) return corrupt("it is missing");
  BFTMETA_ASSIGN(auto record, schema::decode_record<schema::ConfigRecord>(value, "configuration"));
  if (record.config.hash() != (ended ? body.next_config_hash : body.config_hash))
    return corrupt("it is another one");
  return std::move(record.config);
}

}  // namespace bftmeta::execution
