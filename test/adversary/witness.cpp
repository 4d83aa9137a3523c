#include "adversary/witness.hpp"

namespace bftmeta::adversary {

using messages::PeerMessage;
using messages::PreparedCert;
using messages::PrePrepare;
using messages::Proposal;
using messages::RootCert;
using messages::ViewChange;

namespace {

// Enough for several views and windows; a replica under attack in a real process runs for hours.
constexpr std::size_t kMaxNumbers = 4 * limits::kWindow;
constexpr std::size_t kMaxViewChanges = 256;
constexpr std::size_t kMaxItems = 512;
constexpr std::size_t kMaxRecorded = 512;

template <class Map>
void keep_newest(Map& map, std::size_t most) {
  while (map.size() > most) map.erase(map.begin());
}

std::tuple<messages::Seq, messages::View, Hash> vote_key(const Proposal& p) {
  return {p.seq, p.view, p.digest};
}

}  // namespace

void Witness::saw(const config::Config& config, const Hash& cluster_id, ReplicaId from,
                  const PeerMessage& message) {
  if (const auto* status = std::get_if<messages::PeerStatus>(&message)) {
    status_[from] = *status;
  } else if (const auto* p = std::get_if<PrePrepare>(&message)) {
    // Only a whole one: a liar's body may be another.
    if (messages::batch_digest({cluster_id, config.epoch}, p->batch) == p->proposal.digest) add(*p);
  } else if (const auto* prepare = std::get_if<messages::Prepare>(&message)) {
    Votes& votes = votes_[vote_key(prepare->proposal)];
    votes.proposal = prepare->proposal;
    votes.backups[prepare->replica] = prepare->signature;
  } else if (const auto* share = std::get_if<messages::RootShare>(&message)) {
    shares_[share->body.seq].insert_or_assign(share->replica, *share);
  } else if (const auto* cert = std::get_if<RootCert>(&message)) {
    add(*cert);
  } else if (const auto* vc = std::get_if<ViewChange>(&message)) {
    add(config, *vc);
  } else if (const auto* history = std::get_if<messages::HistoryData>(&message)) {
    if (history->cert) add(*history->cert);
  }
  record(message);
  keep_newest(certs_, kMaxNumbers);
  keep_newest(shares_, kMaxNumbers);
  keep_newest(proposals_, kMaxNumbers);
  keep_newest(votes_, 4 * kMaxNumbers);
}

void Witness::add(const PrePrepare& m) {
  Votes& votes = votes_[vote_key(m.proposal)];
  votes.proposal = m.proposal;
  votes.primary = m.signature;
  const bool first = proposals_.insert_or_assign({m.proposal.view, m.proposal.seq}, m).second;
  if (!first) return;
  for (const messages::Item& item : m.batch.items)
    if (std::ranges::find(items_, item) == items_.end()) items_.push_back(item);
  while (items_.size() > kMaxItems) items_.pop_front();
}

void Witness::add(const config::Config& config, const ViewChange& m) {
  if (m.base) add(*m.base);
  for (const PreparedCert& entry : m.prepared) {
    Votes& votes = votes_[vote_key(entry.proposal)];
    votes.proposal = entry.proposal;
    votes.primary = entry.primary_signature;
    std::size_t next = 0;
    for (ReplicaId r = 0; r < config.n() && next < entry.signatures.size(); ++r)
      if ((entry.backups >> r & 1) != 0) votes.backups[r] = entry.signatures[next++];
  }
  const Hash digest = m.digest();
  if (!view_changes_.insert_or_assign(digest, m).second) return;
  view_change_order_.push_back(digest);
  if (view_change_order_.size() <= kMaxViewChanges) return;
  view_changes_.erase(view_change_order_.front());
  view_change_order_.pop_front();
}

void Witness::add(const RootCert& m) { certs_.insert_or_assign(m.body.seq, m); }

void Witness::record(const PeerMessage& m) {
  if (std::holds_alternative<messages::PeerStatus>(m) || encoded_size(m) > limits::kMaxBundleBytes)
    return;
  recorded_.push_back(m);
  if (recorded_.size() > kMaxRecorded) recorded_.pop_front();
}

const messages::PeerStatus* Witness::status_of(ReplicaId replica) const {
  const auto it = status_.find(replica);
  return it == status_.end() ? nullptr : &it->second;
}

messages::View Witness::view() const {
  View highest = 0;
  for (const auto& [replica, status] : status_)
    if (status.active) highest = std::max(highest, status.view);
  return highest;
}

const RootCert* Witness::newest_cert() const {
  return certs_.empty() ? nullptr : &certs_.rbegin()->second;
}

const RootCert* Witness::oldest_cert() const {
  return certs_.empty() ? nullptr : &certs_.begin()->second;
}

std::optional<RootCert> Witness::assemble(const config::Config& config, Seq seq) const {
  const auto it = shares_.find(seq);
  if (it == shares_.end()) return std::nullopt;
  for (const auto& [first, model] : it->second) {
    RootCert cert;
    cert.body = model.body;
    for (const auto& [replica, share] : it->second) {
      if (share.body != model.body || cert.signatures.size() == config.quorum()) continue;
      cert.signers |= 1U << replica;
      cert.signatures.push_back(share.signature);
    }
    if (cert.signatures.size() == config.quorum()) return cert;
  }
  return std::nullopt;
}

std::vector<PreparedCert> Witness::prepared(const config::Config& config, Seq base,
                                            View view) const {
  std::map<Seq, PreparedCert> highest;
  for (const auto& [key, votes] : votes_) {
    const Proposal& p = votes.proposal;
    if (p.seq <= base || p.seq > base + limits::kWindow || p.view >= view || !votes.primary)
      continue;
    PreparedCert entry;
    entry.proposal = p;
    entry.primary_signature = *votes.primary;
    for (const auto& [replica, signature] : votes.backups) {
      if (replica == config.primary(p.view) || entry.signatures.size() == 2 * config.f()) continue;
      entry.backups |= 1U << replica;
      entry.signatures.push_back(signature);
    }
    if (entry.signatures.size() == 2 * config.f()) highest.insert_or_assign(p.seq, entry);
  }
  std::vector<PreparedCert> out;
  for (auto& [seq, entry] : highest) out.push_back(std::move(entry));
  return out;
}

const PrePrepare* Witness::proposal(View view, Seq seq) const {
  const auto it = proposals_.find({view, seq});
  return it == proposals_.end() ? nullptr : &it->second;
}

const PrePrepare* Witness::newest_proposal() const {
  return proposals_.empty() ? nullptr : &proposals_.rbegin()->second;
}

const ViewChange* Witness::view_change(const Hash& digest) const {
  const auto it = view_changes_.find(digest);
  return it == view_changes_.end() ? nullptr : &it->second;
}

std::map<messages::ReplicaId, ViewChange> Witness::view_changes(View view) const {
  std::map<ReplicaId, ViewChange> found;
  for (const auto& [digest, vc] : view_changes_)
    if (vc.new_view == view) found.insert_or_assign(vc.replica, vc);
  return found;
}

}  // namespace bftmeta::adversary
