#include "sim/forged.hpp"

namespace bftmeta::sim::scenario {

namespace {

using messages::PeerMessage;
using messages::Seq;
using Messages = std::vector<PeerMessage>;

const crypto::Context& context_of(const Cluster& c) { return c.oracles().known().context; }

messages::Batch empty_batch(const Cluster& c, Seq seq, std::uint64_t salt) {
  messages::Batch batch;
  batch.seq = seq;
  batch.time_us = kWallEpochUs + c.now_us() + salt;
  return batch;
}

// What correct replicas executed there.
Result<messages::CertBody> agreed(const Cluster& c, Seq seq) {
  const auto& known = *c.oracles().known().agreed;
  const auto it = known.find(seq);
  if (it == known.end())
    return fail(Errc::malformed, "nobody has executed " + std::to_string(seq) + " yet");
  return it->second.body;
}

// An empty batch, dated now. Of a backup it is a proposal in its primary's name that the primary
// did not sign.
Result<Messages> proposal(const Cluster& c, const Forgery& f) {
  messages::PrePrepare m;
  m.batch = empty_batch(c, f.seq, f.salt);
  m.proposal = {f.view, f.seq, messages::batch_digest(context_of(c), m.batch)};
  m.signature = messages::sign_pre_prepare(c.signer(f.from), context_of(c), m.proposal);
  m.batch.time_us += f.body;
  return Messages{m};
}

// Nothing prepared, nothing certified.
Result<Messages> view_change(const Cluster& c, const Forgery& f) {
  messages::ViewChange m;
  m.new_view = f.view;
  m.replica = f.from;
  messages::sign_view_change(c.signer(f.from), context_of(c), m);
  return Messages{m};
}

// Q VIEW-CHANGEs that were sent, and whatever their P-entries say: an empty O.
Result<Messages> new_view(const Cluster& c, const Forgery& f) {
  messages::NewView m;
  m.view = f.view;
  for (const auto& [replica, vc] : c.oracles().statements().view_changes(f.view)) {
    if (m.votes.size() == c.oracles().known().config.quorum()) break;
    m.votes.push_back({replica, vc->digest()});
    m.base_seq = std::max(m.base_seq, vc->base_seq());
  }
  if (m.votes.size() < c.oracles().known().config.quorum())
    return fail(Errc::malformed, "too few VIEW-CHANGEs were sent");
  messages::sign_new_view(c.signer(f.from), context_of(c), m);
  return Messages{m};
}

// "I have prepared nothing from there on."
Result<Messages> nothing_prepared(const Cluster&, const Forgery& f) {
  return Messages{messages::PreparedData{f.seq, {}}};
}

// The right root, under a signature that does not hold.
Result<Messages> broken_share(const Cluster& c, const Forgery& f) {
  BFTMETA_ASSIGN(const messages::CertBody body, agreed(c, f.seq));
  messages::RootShare share = messages::sign_share(c.signer(f.from), body, f.from);
  share.signature[0] ^= 1;
  return Messages{share};
}

// An empty batch as the next of the agreed history, and the own share of what follows from it.
Result<Messages> history(const Cluster& c, const Forgery& f) {
  if (f.seq == 0) return fail(Errc::malformed, "sequence number 0 is genesis");
  BFTMETA_ASSIGN(messages::CertBody body, agreed(c, f.seq - 1));
  messages::HistoryData m;
  m.first = f.seq;
  m.batches = {empty_batch(c, f.seq, f.salt)};
  messages::BatchHeader header;
  header.seq = f.seq;
  header.batch_digest = messages::batch_digest(context_of(c), m.batches.front());
  header.time_us = m.batches.front().time_us;
  header.state_root = body.state_root;
  m.headers = {header};
  body.seq = f.seq;
  body.time_us = header.time_us;
  body.history_hash = messages::extend_history(body.history_hash, header);
  return Messages{messages::sign_share(c.signer(f.from), body, f.from), m};
}

using Make = Result<Messages> (*)(const Cluster&, const Forgery&);
const std::map<std::string, Make>& makers() {
  static const std::map<std::string, Make> kMakers = {
      {"PRE-PREPARE", proposal}, {"VIEW-CHANGE", view_change},   {"NEW-VIEW", new_view},
      {"HISTORY", history},      {"PREPARED", nothing_prepared}, {"ROOT-SHARE", broken_share}};
  return kMakers;
}

}  // namespace

bool forgeable(const std::string& type) { return makers().contains(type); }

Result<Messages> forge(const Cluster& cluster, const Forgery& what) {
  return makers().at(what.type)(cluster, what);
}

}  // namespace bftmeta::sim::scenario
