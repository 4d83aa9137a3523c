#include "sim/explore/world.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim::explore {

namespace {

PublicKey key(std::uint32_t who) {
  PublicKey k{};
  k[0] = static_cast<std::uint8_t>(who);
  return k;
}

}  // namespace

World::World(const Scope& scope) : scope_(scope) {
  BFTMETA_ASSERT(scope.seqs >= 1 && scope.seqs <= kMaxSeqs && scope.views <= kMaxViews);
  for (std::uint32_t r = 0; r < kReplicas; ++r) {
    config_.replicas.push_back({r, key(r), key(100 + r), "x", 1});
    signers_.emplace_back(key(r));
  }
  for (std::uint32_t i = 0; i < 2; ++i) {
    const IdealSigner client(key(200 + i));
    items_.push_back(messages::sign_session_open(client, cluster_id_,
                                                 {client.public_key(), Id16{}, ~0ULL >> 1}));
  }
  for (Seq n = 1; n <= kMaxSeqs; ++n) {
    number_of(messages::Batch::null(n));
    for (std::size_t i = 0; i < 2; ++i) {
      messages::Batch batch;
      batch.seq = n;
      batch.time_us = kWallUs;
      batch.items.push_back(item(i));
      number_of(batch);
    }
  }
}

BatchNo World::number_of(const messages::Batch& batch) {
  const Hash digest = messages::batch_digest(context(), batch);
  if (const auto known = find_batch(batch.seq, digest)) return *known;
  auto& all = batches_[batch.seq - 1];
  BFTMETA_ASSERT(all.size() < kMaxBatches);
  all.push_back({batch, digest});
  return static_cast<BatchNo>(all.size() - 1);
}

std::optional<BatchNo> World::find_batch(Seq n, const Hash& digest) const {
  const auto& all = batches_[n - 1];
  for (BatchNo d = 0; d < all.size(); ++d)
    if (all[d].digest == digest) return d;
  return std::nullopt;
}

std::string World::name(Seq, BatchNo d) const {
  if (d == kNull) return "null";
  return std::string(1, static_cast<char>('a' + d - 1));
}

std::uint32_t World::number_of(const messages::CertBody& body) {
  const auto [it, fresh] = body_numbers_.try_emplace(body.digest(), bodies());
  if (fresh) bodies_.push_back(body);
  BFTMETA_ASSERT(bodies_.size() <= kMaxBodies);
  return it->second;
}

std::uint32_t World::number_of(const PeerMessage& message) {
  const auto next = static_cast<std::uint32_t>(messages_.size());
  const auto [it, fresh] = message_numbers_.try_emplace(identity(message), next);
  if (fresh) {
    BFTMETA_ASSERT(next < kMaxMessages);
    messages_.push_back(message);
  }
  if (const auto* vc = std::get_if<messages::ViewChange>(&message))
    view_changes_.emplace(vc->digest(), it->second);
  return it->second;
}

bool World::proven(std::uint32_t view_change) const {
  return messages::verify_view_change(verifier_, context(), config_,
                                      get<messages::ViewChange>(view_change))
      .has_value();
}

// Hashes what matters of a message or a record.
class World::Identity {
 public:
  explicit Identity(const World& world) : world_(world) {}
  Hash finish() const { return all_.finish(); }

  void add(std::uint32_t number) { all_.add(number); }
  void add(const messages::Proposal& p) { all_.add(p.view).add(p.seq).add(p.digest); }
  void add(const messages::PreparedCert& p) {
    add(p.proposal);
    const bool proof =
        messages::verify_prepared(world_.verifier_, world_.context(), world_.config_, p);
    all_.add(proof ? 1 : 0);
  }
  void add(const messages::RootCert& cert) { all_.add(cert.body.digest()); }
  void add(const messages::ViewChange& vc) {
    all_.add('v').add(vc.new_view).add(vc.replica);
    add(vc.base);
    all_.add(vc.prepared.size());
    for (const messages::PreparedCert& p : vc.prepared) add(p);
  }
  void add(const messages::NewView& nv) {
    all_.add('n').add(nv.view).add(nv.base_seq);
    for (const messages::Reproposal& p : nv.proposals) all_.add(p.seq).add(p.digest);
    for (const messages::NewViewVote& vote : nv.votes) {  // one of them brings the base
      const auto& vc = world_.get<messages::ViewChange>(world_.view_change(vote.digest));
      if (vc.base_seq() != nv.base_seq || nv.base_seq == 0) continue;
      add(*vc.base);
      break;
    }
  }
  void add(const messages::HelloReply& m) {
    all_.add('h').add(m.nonce).add(m.incarnation);
    add(m.yours.pre_prepare ? std::optional(m.yours.pre_prepare->proposal) : std::nullopt);
    add(m.yours.prepare ? std::optional(m.yours.prepare->proposal) : std::nullopt);
    add(m.yours.commit);
    all_.add(m.yours.view_change ? m.yours.view_change->new_view : 0);
    all_.add(m.yours.new_view ? m.yours.new_view->view : 0);
  }
  void add(const messages::HistoryData& m) {
    all_.add('d').add(m.first);
    for (const messages::BatchHeader& header : m.headers) all_.add(encode(header));
    add(m.cert);
  }
  template <class T>
  void add(const std::optional<T>& value) {
    all_.add(value ? 1 : 0);
    if (value) add(*value);
  }
  template <class Other>
  void add(const Other& m) {
    all_.add('o').add(encode(m));
  }
  void add(const consensus::Record& record) {
    all_.add(static_cast<std::uint8_t>(record.kind)).add(record.seq);
    switch (record.kind) {
      case consensus::RecordKind::entered: {
        const auto entered = decode<consensus::EnteredRecord>(record.payload, "record");
        all_.add(entered->view);
        return add(entered->new_view);
      }
      case consensus::RecordKind::left:
        return add(*decode<messages::ViewChange>(record.payload, "record"));
      case consensus::RecordKind::vote:
        return add(decode<consensus::VoteRecord>(record.payload, "record")->proposal);
      case consensus::RecordKind::prepared: {
        const auto entry = decode<messages::PreparedCert>(record.payload, "record");
        // After a start it proves to those who signed it that they did.
        if (world_.scope_.crashes > 0) all_.add(entry->backups);
        return add(*entry);
      }
      case consensus::RecordKind::certificate:
        return add(*decode<messages::RootCert>(record.payload, "record"));
      default: all_.add(record.payload);
    }
  }

 private:
  const World& world_;
  Gatherer all_;
};

Hash World::identity(const PeerMessage& message) const {
  Identity identity(*this);
  std::visit([&](const auto& m) { identity.add(m); }, message);
  // Whoever is shown a VIEW-CHANGE tells its sender after a start: it must be one that was given.
  // And where O may be wrong, it is so by the VIEW-CHANGEs.
  if (const auto* nv = std::get_if<messages::NewView>(&message);
      nv && (scope_.crashes > 0 || scope_.lies))
    for (const messages::NewViewVote& vote : nv->votes) identity.add(view_change(vote.digest));
  return identity.finish();
}

Hash World::identity(const consensus::Record& record) const {
  Identity identity(*this);
  identity.add(record);
  return identity.finish();
}

messages::PrePrepare World::pre_prepare(View v, Seq n, BatchNo d) const {
  const messages::Proposal p = proposal(v, n, d);
  return {p, messages::sign_pre_prepare(signer(primary(v)), context(), p), batch(n, d)};
}

messages::Prepare World::prepare(ReplicaId who, View v, Seq n, BatchNo d) const {
  return messages::sign_prepare(signer(who), context(), proposal(v, n, d), who);
}

messages::RootShare World::share(ReplicaId who, std::uint32_t body) const {
  return messages::sign_share(signer(who), bodies_.at(body), who);
}

messages::RootCert World::certificate(std::uint32_t body,
                                      const std::vector<ReplicaId>& signers) const {
  messages::RootCert cert;
  cert.body = bodies_.at(body);
  for (const ReplicaId r : signers) {
    cert.signers |= 1U << r;
    cert.signatures.push_back(share(r, body).signature);
  }
  return cert;
}

Result<consensus::ReproposalPlan> World::plan(const std::vector<std::uint32_t>& votes) const {
  std::vector<const messages::ViewChange*> pointers;
  for (const std::uint32_t vote : votes) pointers.push_back(&get<messages::ViewChange>(vote));
  return consensus::plan_reproposals(context(), pointers);
}

messages::NewView World::new_view(View v, const std::vector<messages::ViewChange>& votes, Seq base,
                                  const std::map<Seq, Hash>& digests) const {
  messages::NewView nv;
  nv.view = v;
  nv.base_seq = base;
  for (const messages::ViewChange& vc : votes) nv.votes.push_back({vc.replica, vc.digest()});
  std::ranges::sort(nv.votes, {}, &messages::NewViewVote::replica);
  for (const auto& [seq, digest] : digests)
    nv.proposals.push_back(
        {seq, digest, messages::sign_pre_prepare(signer(primary(v)), context(), {v, seq, digest})});
  messages::sign_new_view(signer(primary(v)), context(), nv);
  return nv;
}

}  // namespace bftmeta::sim::explore
