// Cores driven by hand: the test is the network, the clock and, where it wants, the disk; it holds
// all keys and may speak for every replica. Replicas that are not live are played by the test: what
// is sent to them ends in `outside`.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <set>

#include "sim/ideal_crypto.hpp"
#include "sim/log_device.hpp"
#include "sim/toy_machine.hpp"

#include "consensus/core.hpp"
#include "statements.hpp"

namespace bftmeta::consensus::testing {

using messages::Batch;
using messages::NewView;
using messages::PeerStatus;
using messages::PrePrepare;
using messages::Proposal;
using messages::ViewChange;

constexpr std::uint64_t kWallStart = 1'700'000'000'000'000;
constexpr std::uint64_t kMs = 1'000;
constexpr std::uint64_t kSecond = 1'000'000;

struct Mail {
  ReplicaId from = 0;
  ReplicaId to = 0;
  PeerMessage message;

  template <class T>
  const T* get() const {
    return std::get_if<T>(&message);
  }
};

// All replicas of `n` but these.
inline std::set<ReplicaId> all_but(std::uint32_t n, std::set<ReplicaId> without) {
  std::set<ReplicaId> ids;
  for (ReplicaId r = 0; r < n; ++r)
    if (!without.contains(r)) ids.insert(r);
  return ids;
}

// The primary of view 0 proposes nothing and is otherwise correct.
inline bool from_silent_primary(const Mail& m) {
  const auto* p = m.get<PrePrepare>();
  return p != nullptr && p->proposal.view == 0 && m.from == 0;
}

// What the replicas' checks cost.
class CountingVerifier final : public crypto::Verifier {
 public:
  bool verify(const PublicKey& key, ByteView preimage, const Signature& signature) const override {
    ++checks;
    return ideal_.verify(key, preimage, signature);
  }
  using Verifier::verify;
  mutable std::uint64_t checks = 0;

 private:
  sim::IdealVerifier ideal_;
};

class Hand {
 public:
  explicit Hand(std::uint32_t n, std::set<ReplicaId> live = {}) {
    for (std::uint32_t r = 0; r < n; ++r) {
      const PublicKey key = named(r);
      config.replicas.push_back({r, key, named(100 + r), "x", 1});
      signers.push_back(std::make_unique<sim::IdealSigner>(key));
      if (live.empty() || live.contains(r)) nodes_.try_emplace(r);
    }
    client = std::make_unique<sim::IdealSigner>(named(200));
    for (auto& [r, node] : nodes_) boot(r, {});
    deliver();
  }

  std::uint32_t n() const { return config.n(); }
  std::uint32_t f() const { return config.f(); }
  crypto::Context context() const { return {cluster_id, 0}; }
  Core& core(ReplicaId r) { return *nodes_.at(r).core; }
  sim::ToyMachine& machine(ReplicaId r) { return *nodes_.at(r).machine; }
  std::set<ReplicaId> live() const {
    std::set<ReplicaId> ids;
    for (const auto& [r, node] : nodes_)
      if (node.core) ids.insert(r);
    return ids;
  }

  // ---- events
  void step(ReplicaId to, Event event) {
    Node& node = nodes_.at(to);
    if (!node.core) return;
    Actions out;
    node.core->step(std::move(event), now(), out);
    perform(to, out);
  }
  // A message that the test makes, in the name of `from`'s link.
  void send(ReplicaId from, ReplicaId to, PeerMessage m) {
    step(to, event::Peer{from, std::move(m)});
  }
  void submit(ReplicaId to, messages::Item item) { step(to, event::Client{std::move(item), 0}); }

  // Everything under way arrives, and whatever is sent in answer, as far as `pass` lets it.
  void deliver() {
    for (std::size_t steps = 0; !mail.empty(); ++steps) {
      REQUIRE(steps < 1'000'000);
      Mail m = std::move(mail.front());
      mail.pop_front();
      if (pass && !pass(m)) continue;
      if (!nodes_.contains(m.to))
        outside.push_back(std::move(m));
      else
        step(m.to, event::Peer{m.from, std::move(m.message)});
    }
  }
  // Time passes; ticks come when they are due, messages at once.
  void run(std::uint64_t us) {
    const std::uint64_t end = now_us + us;
    deliver();
    while (now_us < end) {
      std::uint64_t next = end;
      for (const auto& [r, node] : nodes_)
        if (node.core) next = std::min(next, std::max(node.core->deadline(), now_us + kMs));
      now_us = next;
      for (auto& [r, node] : nodes_)
        if (node.core && node.core->deadline() <= now_us) step(r, event::Tick{});
      deliver();
    }
  }
  bool run_until(const std::function<bool()>& done, std::uint64_t limit_us) {
    for (std::uint64_t t = 0; t < limit_us && !done(); t += 10 * kMs) run(10 * kMs);
    return done();
  }

  // Power loss with all records synced; and a start from them.
  void crash(ReplicaId r) { nodes_.at(r).core.reset(); }
  void restart(ReplicaId r) { boot(r, nodes_.at(r).log->recover().value().records); }
  // Records of this replica stay in memory, and messages that need them are held, until sync().
  void hold_disk(ReplicaId r) { nodes_.at(r).disk_held = true; }
  void sync(ReplicaId r) {
    nodes_.at(r).disk_held = false;
    settle(r);
  }

  // ---- what the test signs in a replica's name
  const crypto::Signer& signer(ReplicaId r) const { return *signers[r]; }
  const crypto::Signer& primary_signer(View view) const { return *signers[config.primary(view)]; }
  PrePrepare propose(View view, Batch batch) const {
    PrePrepare m;
    m.proposal = {view, batch.seq, messages::batch_digest(context(), batch)};
    m.signature = messages::sign_pre_prepare(primary_signer(view), context(), m.proposal);
    m.batch = std::move(batch);
    return m;
  }
  // `salt` makes batches of one number differ.
  Batch batch(Seq seq, std::vector<messages::Item> items = {}, std::uint64_t salt = 0) const {
    Batch b;
    b.seq = seq;
    b.time_us = now().wall_us + salt;
    b.items = std::move(items);
    return b;
  }
  messages::Prepare prepare(ReplicaId who, const Proposal& p) const {
    return messages::sign_prepare(*signers[who], context(), p, who);
  }
  // A prepared certificate with the votes of the first 2f backups that are not in `without`.
  messages::PreparedCert prepared(const Proposal& p, std::set<ReplicaId> without = {}) const {
    messages::PreparedCert cert;
    cert.proposal = p;
    cert.primary_signature = messages::sign_pre_prepare(primary_signer(p.view), context(), p);
    for (ReplicaId r = 0; r < n() && cert.signatures.size() < 2 * f(); ++r) {
      if (r == config.primary(p.view) || without.contains(r)) continue;
      cert.backups |= 1U << r;
      cert.signatures.push_back(prepare(r, p).signature);
    }
    return cert;
  }
  ViewChange view_change(ReplicaId who, View view,
                         std::optional<messages::RootCert> base = std::nullopt,
                         std::vector<messages::PreparedCert> entries = {}) const {
    return signed_view_change(*signers[who], context(), who, view, std::move(base),
                              std::move(entries));
  }
  // A correct NEW-VIEW on these votes.
  NewView new_view(View view, const std::vector<ViewChange>& votes) const {
    return signed_new_view(primary_signer(view), context(), view, votes);
  }
  void sign(NewView& nv) const { messages::sign_new_view(primary_signer(nv.view), context(), nv); }
  messages::RootCert certificate(messages::CertBody body) const {
    messages::RootCert cert;
    for (ReplicaId r = 0; r < config.quorum(); ++r) {
      cert.signers |= 1U << r;
      cert.signatures.push_back(messages::sign_share(*signers[r], body, r).signature);
    }
    cert.body = std::move(body);
    return cert;
  }
  // Of a batch that nobody ever saw.
  messages::RootCert certificate(Seq seq) const {
    messages::CertBody body;
    body.cluster_id = cluster_id;
    body.config_hash = config.hash();
    body.seq = seq;
    return certificate(std::move(body));
  }

  // ---- a client
  messages::Item open(std::uint8_t nonce = 0) const {
    messages::SessionOpen open{client->public_key(), {nonce}, ~0ULL >> 1};
    return messages::sign_session_open(*client, cluster_id, open);
  }
  // As the toy machine names it when the open is executed at `seq`.
  static Id16 session_of(const messages::Item& open, Seq seq) {
    const Hash h =
        crypto::Hasher(tags::Domain::session_id).update(open.digest()).update_u64(seq).finish();
    Id16 id{};
    std::copy_n(h.begin(), id.size(), id.begin());
    return id;
  }
  messages::Item bundle(const Id16& session, std::uint64_t number, std::uint32_t uid = 0) const {
    return bundle_of(session, number, {{{uid, 0, {}}, schema::Noop{}}});
  }
  messages::Item bundle_of(const Id16& session, std::uint64_t number,
                           std::vector<schema::Operation> operations) const {
    messages::Bundle b;
    b.session_id = session;
    b.client = client->public_key();
    b.bundle_no = number;
    b.valid_until_us = ~0ULL >> 1;
    b.operations = std::move(operations);
    return messages::sign_bundle(*client, cluster_id, b);
  }
  // A session that is open at every live replica, ordered as the next batch.
  Id16 open_session(std::uint8_t nonce = 0) {
    const messages::Item item = open(nonce);
    const Seq seq = machine(*live().begin()).executed_seq() + 1;
    for (const ReplicaId r : live()) submit(r, item);
    REQUIRE(run_until([&] { return executed_by_all(seq); }, 5 * kSecond));
    return session_of(item, seq);
  }
  bool executed_by_all(Seq seq) {
    const auto ids = live();
    return std::ranges::all_of(ids, [&](ReplicaId r) { return machine(r).executed_seq() >= seq; });
  }
  // All live replicas are active in one view; which, or nullopt.
  std::optional<View> common_view() {
    std::optional<View> view;
    for (const ReplicaId r : live()) {
      if (!core(r).active() || (view && *view != core(r).view())) return std::nullopt;
      view = core(r).view();
    }
    return view;
  }

  // What was sent to replicas that are not live, of one type, oldest first; then forgotten.
  template <class T>
  std::vector<T> take_outside() {
    std::vector<T> found;
    for (const Mail& m : outside)
      if (const T* t = m.get<T>()) found.push_back(*t);
    outside.clear();
    return found;
  }
  // The newest STATUS that `from` sent to any replica.
  std::optional<PeerStatus> last_status(ReplicaId from) const {
    const auto it = statuses_.find(from);
    return it == statuses_.end() ? std::nullopt : std::optional(it->second);
  }

  Now now() const { return {now_us, kWallStart + now_us}; }

  Hash cluster_id{9};
  config::Config config;
  std::vector<std::unique_ptr<sim::IdealSigner>> signers;
  std::unique_ptr<sim::IdealSigner> client;
  CountingVerifier verifier;
  std::uint64_t now_us = 1'000'000;
  std::deque<Mail> mail;
  std::vector<Mail> outside;
  std::function<bool(Mail&)> pass;  // false: lost; it may change the message
  std::map<ReplicaId, Error> halted;
  std::map<ReplicaId, action::Diverged> diverged;                  // each before its halt
  std::map<ReplicaId, std::vector<messages::RootCert>> announced;  // what replies may leave under
  std::map<ReplicaId, std::uint64_t> sent_new_views;

 private:
  struct Node {
    std::unique_ptr<sim::MemoryLog> log = std::make_unique<sim::MemoryLog>();
    std::unique_ptr<sim::ToyMachine> machine;
    std::unique_ptr<Archive> archive;
    std::unique_ptr<Core> core;
    Lsn appended = kRecoveredLsn;
    bool disk_held = false;
    std::vector<action::Send> held;
  };

  static PublicKey named(std::uint32_t who) {
    PublicKey k{};
    k[0] = static_cast<std::uint8_t>(who);
    return k;
  }

  void boot(ReplicaId r, std::vector<Record> records) {
    Node& node = nodes_.at(r);
    node.machine = std::make_unique<sim::ToyMachine>(cluster_id, config);
    node.archive = node.log->archive(context());
    node.appended = kRecoveredLsn;
    node.held.clear();
    Options options;
    options.self = r;
    options.cluster_id = cluster_id;
    options.config = config;
    node.core =
        std::make_unique<Core>(options, *signers[r], verifier, *node.machine, *node.archive);
    Recovered recovered;
    recovered.records = std::move(records);
    Actions out;
    node.core->start(std::move(recovered), now(), out);
    perform(r, out);
  }

  void perform(ReplicaId from, Actions& out) {
    Node& node = nodes_.at(from);
    bool wrote = false;
    for (Action& a : out) {
      if (auto* send = std::get_if<action::Send>(&a)) {
        node.held.push_back(std::move(*send));
      } else if (const auto* append = std::get_if<action::Append>(&a)) {
        node.log->append(append->record);
        ++node.appended;
        wrote = true;
      } else if (const auto* cert = std::get_if<action::Certified>(&a)) {
        announced[from].push_back(cert->cert);
      } else if (auto* wrong = std::get_if<action::Diverged>(&a)) {
        CHECK_FALSE(halted.contains(from));
        CHECK(diverged.emplace(from, std::move(*wrong)).second);
      } else if (auto* halt = std::get_if<action::Halt>(&a)) {
        halted.emplace(from, std::move(halt->error));
      }
    }
    if (!node.disk_held)
      settle(from, wrote);
    else
      release(from, kRecoveredLsn);
  }

  // Everything appended is durable.
  void settle(ReplicaId r, bool wrote = true) {
    Node& node = nodes_.at(r);
    node.log->sync();
    release(r, node.appended);
    if (wrote && node.core) step(r, event::Durable{node.appended});
  }

  void release(ReplicaId from, Lsn durable) {
    Node& node = nodes_.at(from);
    std::vector<action::Send> held;
    held.swap(node.held);
    for (action::Send& send : held) {
      if (send.needs_lsn > durable) {
        node.held.push_back(std::move(send));
        continue;
      }
      if (const auto* s = std::get_if<PeerStatus>(&send.message)) statuses_[from] = *s;
      if (std::holds_alternative<NewView>(send.message) && !send.to) ++sent_new_views[from];
      for (ReplicaId to = 0; to < n(); ++to)
        if (to != from && (!send.to || *send.to == to)) mail.push_back({from, to, send.message});
    }
  }

  std::map<ReplicaId, Node> nodes_;
  std::map<ReplicaId, PeerStatus> statuses_;
};

}  // namespace bftmeta::consensus::testing
