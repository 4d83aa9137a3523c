// One core alone, driven by hand: schedules in which a single faulty replica tries to mislead it.
#include <doctest/doctest.h>

#include "sim/ideal_crypto.hpp"
#include "sim/log_device.hpp"
#include "sim/toy_machine.hpp"

#include "consensus/core.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using messages::Batch;
using messages::NewView;
using messages::PrePrepare;
using messages::Proposal;
using messages::ViewChange;

namespace {

constexpr std::uint64_t kWall = 1'700'000'000'000'000;

PublicKey key(std::uint8_t who) {
  PublicKey k{};
  k[0] = who;
  return k;
}

// Replica `self` of four, and the keys of all of them.
struct Lone {
  explicit Lone(ReplicaId id) : self(id) {
    for (std::uint8_t r = 0; r < 4; ++r) {
      config.replicas.push_back({r, key(r), key(static_cast<std::uint8_t>(100 + r)), "x", 1});
      signers.push_back(std::make_unique<sim::IdealSigner>(key(r)));
    }
    machine = std::make_unique<sim::ToyMachine>(cluster_id, config);
    archive = log.archive(context());
    Options options;
    options.self = self;
    options.cluster_id = cluster_id;
    options.config = config;
    core = std::make_unique<Core>(options, *signers[self], verifier, *machine, *archive);
    Actions out;
    core->start({}, {now_us, kWall}, out);
  }

  crypto::Context context() const { return {cluster_id, 0}; }

  // Everything that the core sends after this event.
  std::vector<PeerMessage> feed(Event event) {
    Actions out;
    core->step(std::move(event), {now_us, kWall}, out);
    std::vector<PeerMessage> sent;
    for (Action& a : out) {
      if (auto* send = std::get_if<action::Send>(&a)) sent.push_back(std::move(send->message));
      if (auto* cert = std::get_if<action::Certified>(&a)) announced.push_back(cert->cert.body.seq);
    }
    return sent;
  }
  std::vector<PeerMessage> from(ReplicaId who, PeerMessage m) {
    return feed(event::Peer{who, std::move(m)});
  }

  PrePrepare proposal(View view, Seq seq, std::uint64_t time_us) const {
    PrePrepare m;
    m.batch.seq = seq;
    m.batch.time_us = time_us;
    m.proposal = {view, seq, messages::batch_digest(context(), m.batch)};
    m.signature = messages::sign_pre_prepare(*signers[config.primary(view)], context(), m.proposal);
    return m;
  }
  messages::Prepare prepare(ReplicaId who, const Proposal& p) const {
    return messages::sign_prepare(*signers[who], context(), p, who);
  }
  ViewChange view_change(ReplicaId who, View view,
                         std::optional<messages::RootCert> base = std::nullopt) const {
    ViewChange vc;
    vc.new_view = view;
    vc.replica = who;
    vc.base = std::move(base);
    messages::sign_view_change(*signers[who], context(), vc);
    return vc;
  }
  NewView new_view(View view, const std::vector<ViewChange>& votes, Seq base) const {
    NewView nv;
    nv.view = view;
    nv.base_seq = base;
    for (const ViewChange& vc : votes) nv.votes.push_back({vc.replica, vc.digest()});
    messages::sign_new_view(*signers[config.primary(view)], context(), nv);
    return nv;
  }
  messages::RootCert certificate(Seq seq) const {
    messages::CertBody body;
    body.cluster_id = cluster_id;
    body.config_hash = config.hash();
    body.seq = seq;
    return certificate(body);
  }
  messages::RootCert certificate(const messages::CertBody& body) const {
    messages::RootCert cert;
    cert.body = body;
    for (ReplicaId r : {0U, 1U, 3U}) {
      cert.signers |= 1U << r;
      cert.signatures.push_back(messages::sign_share(*signers[r], cert.body, r).signature);
    }
    return cert;
  }

  const ReplicaId self;
  Hash cluster_id{9};
  config::Config config;
  std::vector<std::unique_ptr<sim::IdealSigner>> signers;
  sim::IdealVerifier verifier;
  sim::MemoryLog log;
  std::unique_ptr<sim::ToyMachine> machine;
  std::unique_ptr<Archive> archive;
  std::unique_ptr<Core> core;
  std::uint64_t now_us = 1'000'000;
  std::vector<Seq> announced;  // of the certificates that the core told its driver about
};

template <class T>
std::vector<T> all(const std::vector<PeerMessage>& messages) {
  std::vector<T> found;
  for (const PeerMessage& m : messages)
    if (const auto* t = std::get_if<T>(&m)) found.push_back(*t);
  return found;
}

}  // namespace

TEST_CASE("a proposal is voted for once") {
  Lone r(1);
  const PrePrepare m = r.proposal(0, 1, kWall);
  CHECK(all<messages::Prepare>(r.from(0, m)).size() == 1);
  CHECK(all<messages::Prepare>(r.from(0, m)).empty());
}

TEST_CASE("the own COMMIT counts only when its prepared certificate is durable") {
  Lone r(1);
  const PrePrepare m = r.proposal(0, 1, kWall);
  r.from(0, m);
  r.from(2, r.prepare(2, m.proposal));
  r.from(2, messages::Commit{m.proposal});
  r.from(3, messages::Commit{m.proposal});
  CHECK(r.machine->executed_seq() == 0);
  r.feed(event::Durable{kRecoveredLsn + 100});
  CHECK(r.machine->executed_seq() == 1);
}

TEST_CASE("a certificate that comes before the own execution is announced when that is done") {
  Lone r(1);
  const PrePrepare m = r.proposal(0, 1, kWall);
  // What the three others made of the batch.
  sim::ToyMachine others(r.cluster_id, r.config);
  const auto batch = messages::parse_batch(r.context(), m.batch);
  REQUIRE(batch.has_value());
  const auto outcome = others.execute(*batch);
  REQUIRE(outcome.has_value());

  r.from(0, m);
  r.from(2, r.prepare(2, m.proposal));
  r.from(2, messages::Commit{m.proposal});
  r.from(3, messages::Commit{m.proposal});
  r.from(0, r.certificate(outcome->body));
  REQUIRE(r.machine->executed_seq() == 0);
  // Only a driver that has executed the batch can answer from it, and nothing else may come for
  // long: the last operation of all clients is certified as this one is.
  r.announced.clear();
  r.feed(event::Durable{kRecoveredLsn + 100});
  CHECK(r.machine->executed_seq() == 1);
  CHECK(r.announced == std::vector<Seq>{1});
}

TEST_CASE("a PRE-PREPARE with another batch than was signed is not blamed on the primary") {
  Lone r(1);
  const PrePrepare good = r.proposal(0, 1, kWall);
  PrePrepare tampered = good;
  tampered.batch.time_us += 1;
  for (const auto& s : all<messages::PeerStatus>(r.from(3, tampered)))
    CHECK(s.suspects == Reason::none);
  CHECK(all<messages::Prepare>(r.from(0, good)).size() == 1);
}

TEST_CASE("two signed proposals for one sequence number are") {
  Lone r(1);
  r.from(0, r.proposal(0, 1, kWall));
  const auto sent = all<messages::PeerStatus>(r.from(0, r.proposal(0, 1, kWall + 1)));
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].suspects == Reason::equivocation);
  CHECK(r.core->view() == 0);  // alone it stays
}

TEST_CASE("T2.9 a late proposal is voted for once W backups have prepared it") {
  Lone r(3);
  const PrePrepare late = r.proposal(0, 1, kWall - 10'000'000);
  CHECK(all<messages::Prepare>(r.from(0, late)).empty());
  CHECK(all<messages::Prepare>(r.from(1, r.prepare(1, late.proposal))).empty());
  CHECK(all<messages::Prepare>(r.from(2, r.prepare(2, late.proposal))).size() == 1);
}

TEST_CASE("strategy 38: abdication leads to the next view, whatever the primary names") {
  Lone r(1);
  r.from(0, r.view_change(0, 1'000'000));
  CHECK(r.core->view() == 1);
  CHECK_FALSE(
      messages::verify_view_change(r.verifier, r.context(), r.config, r.view_change(0, ~0ULL))
          .has_value());
}

TEST_CASE("strategy 36: a NEW-VIEW that nobody can check does not block the right one") {
  Lone r(2);
  NewView forged = r.new_view(403, {}, 0);
  for (ReplicaId v : {0U, 1U, 3U}) forged.votes.push_back({v, Hash{static_cast<std::uint8_t>(v)}});
  messages::sign_new_view(*r.signers[3], r.context(), forged);
  r.from(3, forged);
  const std::vector<ViewChange> votes = {r.view_change(0, 1), r.view_change(1, 1),
                                         r.view_change(3, 1)};
  for (const ViewChange& vc : votes) r.from(vc.replica, vc);
  r.from(1, r.new_view(1, votes, 0));
  CHECK(r.core->view() == 1);
  CHECK(r.core->active());
}

TEST_CASE("nothing of the old view is voted on while a new one is entered") {
  Lone r(2);
  // Too early for this clock, prepared elsewhere: kept, not voted.
  const PrePrepare early = r.proposal(0, 6, kWall + 5'000'000);
  CHECK(all<messages::Prepare>(r.from(0, early)).empty());
  r.from(3, r.prepare(3, early.proposal));
  const std::vector<ViewChange> votes = {r.view_change(0, 1, r.certificate(5)), r.view_change(1, 1),
                                         r.view_change(3, 1)};
  for (const ViewChange& vc : votes) r.from(vc.replica, vc);
  const auto sent = r.from(1, r.new_view(1, votes, 5));
  CHECK(r.core->view() == 1);
  CHECK(r.core->certified_seq() == 5);
  CHECK(all<messages::Prepare>(sent).empty());
  CHECK(all<messages::Commit>(sent).empty());
}
