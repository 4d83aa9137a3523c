// One core alone, driven by hand: the test is the network, the disk and the other replicas, and
// holds the keys of all of them. What is appended survives a restart only as far as sync() went.
#pragma once

#include <doctest/doctest.h>

#include "sim/ideal_crypto.hpp"
#include "sim/log_device.hpp"
#include "sim/toy_machine.hpp"

#include "consensus/core.hpp"
#include "statements.hpp"

namespace bftmeta::consensus::testing {

constexpr std::uint64_t kWall = 1'700'000'000'000'000;

inline PublicKey key(std::uint8_t who) {
  PublicKey k{};
  k[0] = who;
  return k;
}

template <class T>
std::vector<T> all(const std::vector<PeerMessage>& messages) {
  std::vector<T> found;
  for (const PeerMessage& m : messages)
    if (const auto* t = std::get_if<T>(&m)) found.push_back(*t);
  return found;
}

// Replica `self` of four, and the keys of all of them.
struct Lone {
  explicit Lone(ReplicaId id, std::size_t prepared_bytes = Options().max_prepared_bytes)
      : self(id), max_prepared_bytes(prepared_bytes) {
    for (std::uint8_t r = 0; r < 4; ++r) {
      config.replicas.push_back({r, key(r), key(static_cast<std::uint8_t>(100 + r)), "x", 1});
      signers.push_back(std::make_unique<sim::IdealSigner>(key(r)));
    }
    boot({});
  }

  crypto::Context context() const { return {cluster_id, 0}; }

  // Everything that the core sends after this event.
  std::vector<PeerMessage> feed(Event event) {
    Actions out;
    core->step(std::move(event), {now_us, kWall}, out);
    return perform(out);
  }
  std::vector<PeerMessage> from(ReplicaId who, PeerMessage m) {
    return feed(event::Peer{who, std::move(m)});
  }
  std::vector<PeerMessage> tick_after(std::uint64_t us) {
    now_us += us;
    return feed(event::Tick{});
  }

  // Everything appended so far becomes durable.
  std::vector<PeerMessage> sync() {
    log->sync();
    synced = appended;
    return feed(event::Durable{kRecoveredLsn + synced - recovered});
  }
  // A power cut: what was not synced is lost, the machine starts from genesis.
  std::vector<PeerMessage> restart() {
    std::vector<Record> records = log->recover().value().records;
    records.resize(synced);
    return boot(std::move(records));
  }

  messages::PrePrepare proposal(View view, Seq seq, std::uint64_t time_us) const {
    messages::PrePrepare m;
    m.batch.seq = seq;
    m.batch.time_us = time_us;
    m.proposal = {view, seq, messages::batch_digest(context(), m.batch)};
    m.signature = messages::sign_pre_prepare(*signers[config.primary(view)], context(), m.proposal);
    return m;
  }
  messages::Prepare prepare(ReplicaId who, const messages::Proposal& p) const {
    return messages::sign_prepare(*signers[who], context(), p, who);
  }
  messages::ViewChange view_change(ReplicaId who, View view,
                                   std::optional<messages::RootCert> base = std::nullopt) const {
    return signed_view_change(*signers[who], context(), who, view, std::move(base), {});
  }
  messages::NewView new_view(View view, const std::vector<messages::ViewChange>& votes,
                             Seq base) const {
    messages::NewView nv;
    nv.view = view;
    nv.base_seq = base;
    for (const messages::ViewChange& vc : votes) nv.votes.push_back({vc.replica, vc.digest()});
    messages::sign_new_view(*signers[config.primary(view)], context(), nv);
    return nv;
  }
  messages::RootShare share(ReplicaId who, const messages::CertBody& body) const {
    return messages::sign_share(*signers[who], body, who);
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
      cert.signatures.push_back(share(r, body).signature);
    }
    return cert;
  }

  const ReplicaId self;
  const std::size_t max_prepared_bytes;
  Hash cluster_id{9};
  config::Config config;
  std::vector<std::unique_ptr<sim::IdealSigner>> signers;
  sim::IdealVerifier verifier;
  std::unique_ptr<sim::MemoryLog> log;
  std::unique_ptr<sim::ToyMachine> machine;
  std::unique_ptr<Archive> archive;
  std::unique_ptr<Core> core;
  std::uint64_t now_us = 1'000'000;
  std::vector<Seq> announced;            // of the certificates that the core told its driver about
  std::vector<action::Accused> accused;  // in order
  std::vector<action::AnswerFresh> answers;  // to queries for the newest certificate, in order

 private:
  std::vector<PeerMessage> boot(std::vector<Record> records) {
    log = std::make_unique<sim::MemoryLog>();
    for (const Record& r : records) log->append(r);
    log->sync();
    recovered = synced = appended = records.size();
    machine = std::make_unique<sim::ToyMachine>(cluster_id, config);
    archive = log->archive(context());
    Options options;
    options.self = self;
    options.cluster_id = cluster_id;
    options.config = config;
    options.max_prepared_bytes = max_prepared_bytes;
    core = std::make_unique<Core>(options, *signers[self], verifier, *machine, *archive);
    Actions out;
    Recovered from_log;
    from_log.records = std::move(records);
    core->start(std::move(from_log), {now_us, kWall}, out);
    return perform(out);
  }

  std::vector<PeerMessage> perform(Actions& out) {
    std::vector<PeerMessage> sent;
    for (Action& a : out) {
      if (auto* send = std::get_if<action::Send>(&a)) {
        sent.push_back(std::move(send->message));
      } else if (const auto* append = std::get_if<action::Append>(&a)) {
        log->append(append->record);
        ++appended;
      } else if (auto* answer = std::get_if<action::AnswerFresh>(&a)) {
        answers.push_back(std::move(*answer));
      } else if (auto* against = std::get_if<action::Accused>(&a)) {
        accused.push_back(std::move(*against));
      } else if (const auto* cert = std::get_if<action::Certified>(&a)) {
        announced.push_back(cert->cert.body.seq);
      }
    }
    return sent;
  }

  std::size_t recovered = 0;  // records that the log gave back
  std::size_t appended = 0;
  std::size_t synced = 0;
};

}  // namespace bftmeta::consensus::testing
