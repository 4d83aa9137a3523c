// One replica that is started, cut off and started again by hand. The test is its network, its disk
// and its peers: it holds the keys of all, delivers what it likes, and decides what survives. As in
// bftmetad a message leaves only when its records are durable. Everything that ever left is kept,
// so that what one key said over several lives can be compared.
#pragma once

#include <doctest/doctest.h>

#include <set>

#include "sim/ideal_crypto.hpp"
#include "sim/log_device.hpp"
#include "sim/toy_machine.hpp"

#include "consensus/core.hpp"
#include "statements.hpp"

namespace bftmeta::consensus::testing {

using messages::Batch;
using messages::Hello;
using messages::HelloReply;
using messages::HighestStatements;
using messages::NewView;
using messages::Prepare;
using messages::PreparedCert;
using messages::PrePrepare;
using messages::Proposal;
using messages::RootCert;
using messages::ViewChange;

// What lies on the disk of a replica; a copy of it is a backup.
struct Disk {
  std::vector<Record> records;
  std::size_t synced = 0;
  std::uint64_t incarnation = 0;
};

class Restarted {
 public:
  static constexpr std::uint64_t kWall = 1'700'000'000'000'000;

  explicit Restarted(ReplicaId self, std::uint32_t n = 4) : self_(self) {
    for (std::uint32_t r = 0; r < n; ++r) {
      config.replicas.push_back({r, named(r), named(100 + r), "x", 1});
      signers.push_back(std::make_unique<sim::IdealSigner>(named(r)));
    }
    client = std::make_unique<sim::IdealSigner>(named(200));
  }

  // ---- lives
  // A process on this disk. It asks its peers and waits for hear().
  void start(bool votes_lost = false) {
    ++disk.incarnation;
    machine = stored ? std::make_unique<sim::ToyMachine>(*stored)
                     : std::make_unique<sim::ToyMachine>(cluster_id, config);
    log_ = sim::MemoryLog();
    archive_ = log_.archive(context());
    Options options;
    options.self = self_;
    options.cluster_id = cluster_id;
    options.config = config;
    options.transfers = true;
    options.epoch_start = epoch_start;
    core = std::make_unique<Core>(options, *signers[self_], verifier, *machine, *archive_);
    waiting_.clear();
    recovered_ = disk.records.size();
    disk.synced = recovered_;
    for (const Record& r : disk.records) log_.append(r);
    Recovered recovered;
    recovered.records = disk.records;
    recovered.votes_lost = votes_lost;
    recovered.incarnation = disk.incarnation;
    recovered.flushed = machine->executed_seq();
    recovered.flushed_cert = stored_cert;
    recovered.transferring = mixture;
    store_be64(recovered.nonce.data(), ++starts_);
    Actions out;
    core->start(std::move(recovered), now(), out);
    perform(out);
  }
  // Loses the process, and of what was appended everything that was not synced.
  void power_cut() {
    core.reset();
    disk.records.resize(disk.synced);
  }
  // ... except the first `kept` of the records that were not synced.
  void power_cut_keeping(std::size_t kept) {
    disk.synced = std::min(disk.synced + kept, disk.records.size());
    power_cut();
  }
  void sync() {
    disk.synced = disk.records.size();
    const Lsn durable = kRecoveredLsn + disk.synced - recovered_;
    release(durable);
    step(event::Durable{durable});
  }
  // Every record reaches the disk as soon as a message waits for one.
  void sync_all() {
    while (!waiting_.empty() || disk.synced != disk.records.size()) sync();
  }

  // ---- events
  void step(Event event) {
    Actions out;
    core->step(std::move(event), now(), out);
    perform(out);
  }
  void from(ReplicaId who, PeerMessage m) { step(event::Peer{who, std::move(m)}); }
  void tick(std::uint64_t us) {
    now_us += us;
    step(event::Tick{});
  }
  // Peer `who` answers the HELLO of this start. `heard`: which start of this store it knew.
  void hear(ReplicaId who, HighestStatements shown = {}, std::uint64_t heard = 0) {
    HelloReply reply;
    store_be64(reply.nonce.data(), starts_);
    reply.incarnation = heard;
    reply.yours = std::move(shown);
    from(who, std::move(reply));
  }
  // All peers answer that they know of nothing.
  void hear_all() {
    for (ReplicaId r = 0; r < config.n(); ++r)
      if (r != self_) hear(r);
  }
  void start_and_hear() {
    start();
    hear_all();
    sync_all();
  }

  // ---- what it said
  struct Said {
    std::optional<ReplicaId> to;
    PeerMessage message;
  };
  // Everything of this kind that left since forget().
  template <class T>
  std::vector<T> said() const {
    std::vector<T> found;
    for (std::size_t i = first_; i < all_said.size(); ++i)
      if (const auto* t = std::get_if<T>(&all_said[i].message)) found.push_back(*t);
    return found;
  }
  // Whom it sent this kind of message to, since forget(); 99: to everybody at once.
  template <class T>
  std::set<ReplicaId> told() const {
    std::set<ReplicaId> to;
    for (std::size_t i = first_; i < all_said.size(); ++i)
      if (std::holds_alternative<T>(all_said[i].message)) to.insert(all_said[i].to.value_or(99));
    return to;
  }
  void forget() { first_ = all_said.size(); }
  // Votes of the own key, and COMMITs, since forget().
  std::size_t votes_said() const {
    std::size_t votes = said<messages::Commit>().size();
    for (const Prepare& p : said<Prepare>()) votes += p.replica == self_ ? 1 : 0;
    for (const PrePrepare& p : said<PrePrepare>())
      votes += config.primary(p.proposal.view) == self_ ? 1 : 0;
    for (const ViewChange& vc : said<ViewChange>()) votes += vc.replica == self_ ? 1 : 0;
    for (const NewView& nv : said<NewView>()) votes += config.primary(nv.view) == self_ ? 1 : 0;
    return votes;
  }
  // Over all lives: no two different statements for one place.
  void check_never_contradicted() const {
    std::map<std::pair<View, Seq>, Hash> prepares;
    std::map<std::pair<View, Seq>, Hash> proposals;
    std::map<View, Hash> changes;
    std::map<View, Hash> entries;
    const auto once = [](auto& map, const auto& key, const Hash& value) {
      CHECK(map.try_emplace(key, value).first->second == value);
    };
    for (const Said& s : all_said) {
      if (const auto* p = std::get_if<Prepare>(&s.message); p && p->replica == self_)
        once(prepares, std::pair{p->proposal.view, p->proposal.seq}, p->proposal.digest);
      if (const auto* p = std::get_if<PrePrepare>(&s.message);
          p && config.primary(p->proposal.view) == self_)
        once(proposals, std::pair{p->proposal.view, p->proposal.seq}, p->proposal.digest);
      if (const auto* vc = std::get_if<ViewChange>(&s.message); vc && vc->replica == self_)
        once(changes, vc->new_view, vc->digest());
      if (const auto* nv = std::get_if<NewView>(&s.message);
          nv && config.primary(nv->view) == self_)
        once(entries, nv->view, nv->body_digest());
    }
  }

  // ---- what clients and others sign
  // A session open, so that a primary has something to propose.
  void submit_open() {
    messages::SessionOpen open{client->public_key(), {++opens_}, kWall + 1'000'000};
    step(event::Client{messages::sign_session_open(*client, cluster_id, open), 0});
  }
  messages::EpochContext context() const {
    return {crypto::Context{cluster_id, config.epoch}, epoch_start};
  }
  const crypto::Signer& primary_key(View view) const { return *signers[config.primary(view)]; }
  // Batches of one number differ by `salt`.
  PrePrepare proposal(View view, Seq seq, std::uint64_t salt = 0) const {
    Batch batch;
    batch.seq = seq;
    batch.time_us = kWall + salt;
    return proposal(view, std::move(batch));
  }
  PrePrepare proposal(View view, Batch batch) const {
    PrePrepare m;
    m.proposal = {view, batch.seq, messages::batch_digest(context(), batch)};
    m.signature = messages::sign_pre_prepare(primary_key(view), context(), m.proposal);
    m.batch = std::move(batch);
    return m;
  }
  Prepare prepare(ReplicaId who, const Proposal& p) const {
    return messages::sign_prepare(*signers[who], context(), p, who);
  }
  // With the PREPAREs of the first 2f backups.
  PreparedCert prepared(const Proposal& p) const {
    PreparedCert cert;
    cert.proposal = p;
    cert.primary_signature = messages::sign_pre_prepare(primary_key(p.view), context(), p);
    for (ReplicaId r = 0; r < config.n() && cert.signatures.size() < 2 * config.f(); ++r) {
      if (r == config.primary(p.view)) continue;
      cert.backups |= 1U << r;
      cert.signatures.push_back(prepare(r, p).signature);
    }
    return cert;
  }
  ViewChange view_change(ReplicaId who, View view, std::vector<PreparedCert> entries = {},
                         std::optional<RootCert> base = std::nullopt) const {
    return signed_view_change(*signers[who], context(), who, view, std::move(base),
                              std::move(entries));
  }
  // The one that follows from these votes.
  NewView new_view(View view, const std::vector<ViewChange>& votes) const {
    return signed_new_view(primary_key(view), context(), view, votes);
  }
  RootCert certificate(const messages::CertBody& body) const {
    RootCert cert;
    cert.body = body;
    for (ReplicaId r = 0; r < config.quorum(); ++r) {
      cert.signers |= 1U << r;
      cert.signatures.push_back(messages::sign_share(*signers[r], body, r).signature);
    }
    return cert;
  }
  // Of a batch that nobody ever saw.
  RootCert certificate(Seq seq) const {
    messages::CertBody body;
    body.cluster_id = cluster_id;
    body.config_hash = config.hash();
    body.seq = seq;
    return certificate(body);
  }

  // ---- courses of events
  // Enters `view` by the VIEW-CHANGEs of the others, with these entries in the first of them.
  NewView enter(View view, std::vector<PreparedCert> entries = {},
                std::optional<RootCert> base = std::nullopt) {
    std::vector<ViewChange> votes;
    for (ReplicaId r = 0; r < config.n() && votes.size() < config.quorum(); ++r) {
      if (r == self_) continue;
      votes.push_back(votes.empty() ? view_change(r, view, entries, base) : view_change(r, view));
    }
    for (const ViewChange& vc : votes) from(vc.replica, vc);
    NewView nv = new_view(view, votes);
    from(config.primary(view), nv);
    return nv;
  }
  // A backup's way to a prepared certificate: proposal and PREPAREs of others, all durable.
  Proposal prepare_batch(View view, Seq seq, std::uint64_t salt = 0) {
    return prepare_batch(proposal(view, seq, salt));
  }
  Proposal prepare_batch(const PrePrepare& m) {
    const ReplicaId primary = config.primary(m.proposal.view);
    from(primary, m);
    for (ReplicaId r = 0; r < config.n(); ++r)
      if (r != self_ && r != primary) from(r, prepare(r, m.proposal));
    sync_all();
    return m.proposal;
  }
  // ... and to execution.
  Proposal commit_batch(View view, Seq seq, std::uint64_t salt = 0) {
    const Proposal p = prepare_batch(view, seq, salt);
    for (ReplicaId r = 0; r < config.n(); ++r)
      if (r != self_) from(r, messages::Commit{p});
    sync_all();
    REQUIRE(machine->executed_seq() >= seq);
    return p;
  }

  // Batches first..last as `peer`, which has executed nothing yet, has them; with a certificate.
  messages::HistoryData history(Seq first, Seq last, sim::ToyMachine peer) {
    messages::HistoryData data;
    data.first = first;
    messages::CertBody newest;
    for (Seq seq = 1; seq <= last; ++seq) {
      messages::Batch batch = proposal(0, seq).batch;
      const auto parsed = messages::parse_batch(context(), batch);
      REQUIRE(parsed.has_value());
      const auto outcome = peer.execute(*parsed);
      newest = outcome->body;
      if (seq < first) continue;
      data.batches.push_back(std::move(batch));
      data.headers.push_back(outcome->header);
    }
    data.cert = certificate(newest);
    return data;
  }
  // Batches 1..last from a peer, with their certificate; nothing is synced.
  void follow_history(Seq last) {
    from(self_ == 0 ? 1 : 0, history(1, last, sim::ToyMachine(cluster_id, config)));
    REQUIRE(machine->executed_seq() == last);
    REQUIRE(core->certified_seq() == last);
  }
  // The others' shares for what it executed last.
  RootCert certify_newest() {
    REQUIRE_FALSE(said<messages::RootShare>().empty());
    RootCert cert = certificate(said<messages::RootShare>().back().body);
    from(self_ == 0 ? 1 : 0, cert);
    sync();
    return cert;
  }

  bool votes() const { return core->may_vote(); }
  bool fenced() const { return core->standing() == Standing::fenced; }
  consensus::Now now() const { return {now_us, kWall}; }

  Hash cluster_id{9};
  config::Config config;
  std::vector<std::unique_ptr<sim::IdealSigner>> signers;
  std::unique_ptr<sim::IdealSigner> client;
  sim::IdealVerifier verifier;
  Disk disk;
  // What the page store holds: a state with its certificate, a mixture, or nothing.
  std::optional<sim::ToyMachine> stored;
  std::optional<RootCert> stored_cert;
  bool mixture = false;
  std::unique_ptr<sim::ToyMachine> machine;
  std::unique_ptr<Core> core;
  std::vector<Said> all_said;
  std::vector<std::string> fence_lines;  // what it says of its fence, per life
  std::vector<std::string> halts;
  std::vector<Seq> transfers;              // floors of the states that it wants to fetch
  std::vector<action::Diverged> diverged;  // states that differ from the agreed ones
  std::vector<messages::EpochStep> epoch_ends;
  Seq epoch_start = 0;
  std::uint64_t now_us = 1'000'000;

 private:
  static PublicKey named(std::uint32_t who) {
    PublicKey k{};
    k[0] = static_cast<std::uint8_t>(who);
    return k;
  }

  void perform(Actions& out) {
    for (Action& a : out) {
      if (auto* append = std::get_if<action::Append>(&a)) {
        log_.append(append->record);
        disk.records.push_back(std::move(append->record));
      } else if (auto* send = std::get_if<action::Send>(&a)) {
        waiting_.push_back(std::move(*send));
      } else if (const auto* fenced = std::get_if<action::Fenced>(&a)) {
        fence_lines.push_back(fenced->why);
      } else if (auto* wrong = std::get_if<action::Diverged>(&a)) {
        CHECK(halts.empty());
        diverged.push_back(std::move(*wrong));
      } else if (const auto* transfer = std::get_if<action::Transfer>(&a)) {
        transfers.push_back(transfer->floor);
      } else if (const auto* ended = std::get_if<action::EpochEnded>(&a)) {
        epoch_ends.push_back(ended->step);
      } else if (const auto* halt = std::get_if<action::Halt>(&a)) {
        halts.push_back(halt->error.message);
      }
    }
    release(kRecoveredLsn + disk.synced - recovered_);
  }
  void release(Lsn durable) {
    std::vector<action::Send> still;
    for (action::Send& send : waiting_) {
      if (send.needs_lsn <= durable)
        all_said.push_back({send.to, std::move(send.message)});
      else
        still.push_back(std::move(send));
    }
    waiting_ = std::move(still);
  }

  const ReplicaId self_;
  sim::MemoryLog log_;
  std::unique_ptr<Archive> archive_;
  std::vector<action::Send> waiting_;
  std::size_t recovered_ = 0;
  std::uint64_t starts_ = 0;
  std::uint8_t opens_ = 0;
  std::size_t first_ = 0;
};

}  // namespace bftmeta::consensus::testing
