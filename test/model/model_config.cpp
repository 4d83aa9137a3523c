// The model of what admins state, and of reconfiguration (protocol §9.2).
#include <bit>

#include "crypto/hash.hpp"
#include "model/model.hpp"

namespace bftmeta::test {

using schema::Code;

void Model::run(const schema::ChangeConfig& op) {
  const StatementId statement = check_statement(tags::kConfig, op);
  require(op.body.config_hash == config_.hash(), Code::version_conflict);
  if (op.body.next == config_) {
    require(change_ && change_->epoch_end_seq == 0, Code::no_entry);
    change_.reset();
    return note_statement(statement);
  }
  require(!change_, Code::exists);
  const config::Config& next = op.body.next;
  require(config::validate(next).has_value() && next.epoch == config_.epoch + 1, Code::invalid);
  std::size_t joining = 0, leaving = 0;
  for (const auto& r : next.replicas) {
    require(!retired_.contains(r.vote_key), Code::invalid);
    joining += members(config_).contains(r.vote_key) ? 0 : 1;
  }
  for (const auto& r : config_.replicas) leaving += members(next).contains(r.vote_key) ? 0 : 1;
  const bool replaces = joining == leaving && joining <= config_.f();
  const bool adds = joining == 3 && leaving == 0;
  const bool removes = joining == 0 && leaving == 3;
  require(replaces || adds || removes, Code::invalid);
  change_ = schema::PendingChange{schema::kRecordFormat, next, env_.time_us + 86'400'000'000, 0, 0};
  note_statement(statement);
}

Model::StatementId Model::check_statement(
    const tags::Tag& tag, const Bytes& body, std::uint64_t valid_until_us,
    const std::vector<schema::AdminSignature>& signatures) const {
  require(valid_until_us >= env_.time_us, Code::invalid);
  require(valid_until_us <= env_.time_us + 3'600'000'000, Code::invalid);
  require(signed_by_admins(tag, body, signatures), Code::not_permitted);
  crypto::Hasher h(tags::Domain::admin_statement);
  for (const char c : tag) h.update_u8(static_cast<std::uint8_t>(c));
  const StatementId id{valid_until_us, h.update(cluster_id_).update_u64(0).update(body).finish()};
  require(!statements_.contains(id), Code::exists);
  return id;
}

// The oldest four that are over go.
void Model::note_statement(const StatementId& statement) {
  for (int i = 0; i < 4 && !statements_.empty(); ++i)
    if (statements_.begin()->first < env_.time_us) statements_.erase(statements_.begin());
  statements_.insert(statement);
}

std::set<PublicKey> Model::members(const config::Config& config) {
  std::set<PublicKey> keys;
  for (const config::Replica& r : config.replicas) keys.insert(r.vote_key);
  return keys;
}

bool Model::signed_by_admins(const tags::Tag& tag, const Bytes& body,
                             const std::vector<schema::AdminSignature>& signatures) const {
  std::set<std::uint32_t> signers;
  for (const schema::AdminSignature& s : signatures)
    if (s.admin < config_.admins.size() &&
        env_.verifier->verify(config_.admins[s.admin].key, tag, {cluster_id_, 0}, body,
                              s.signature))
      signers.insert(s.admin);
  return signers.size() >= config_.admin_threshold;
}

Code Model::ready(const messages::Ready& ready) {
  if (!change_ || change_->epoch_end_seq != 0 || schema::proposal_hash(*change_) != ready.proposal)
    return Code::no_entry;
  for (const config::Replica& r : change_->next.replicas) {
    if (r.vote_key != ready.vote_key) continue;
    const bool before = (change_->ready & 1U << r.id) != 0;
    change_->ready |= 1U << r.id;
    return before ? Code::exists : Code::ok;
  }
  return Code::no_entry;
}

void Model::end_batch(std::uint64_t seq, std::uint64_t time_us) {
  if (!change_) return;
  const config::Config next = change_->next;
  if (change_->epoch_end_seq == 0) {
    bool enough = std::popcount(change_->ready) >= static_cast<int>(next.quorum());
    for (const config::Replica& r : next.replicas)
      if (!members(config_).contains(r.vote_key) && (change_->ready & 1U << r.id) == 0)
        enough = false;
    if (enough)
      change_->epoch_end_seq = seq + 128;
    else if (time_us > change_->deadline_us)
      change_.reset();
  } else if (change_->epoch_end_seq == seq) {
    for (const config::Replica& r : config_.replicas)
      if (!members(next).contains(r.vote_key)) retired_.insert(r.vote_key);
    past_.push_back(config_);
    config_ = next;
    change_.reset();
  }
}

}  // namespace bftmeta::test
