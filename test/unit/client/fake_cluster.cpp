#include "fake_cluster.hpp"

#include <doctest/doctest.h>

#include "namespace/query.hpp"

namespace bftmeta::client::testing {

schema::Caller root_user() { return {0, 0, {}}; }

schema::MakeNode make_file(const std::string& name) {
  schema::MakeNode op;
  op.name = {to_bytes(std::string_view(name))};
  op.mode = 0644;
  return op;
}

schema::GetInode path(const std::string& name) {
  schema::GetInode query;
  if (!name.empty()) query.target.path.push_back({to_bytes(std::string_view(name))});
  return query;
}

const ns::InodeAnswer* inode(const Result<ReadResult>& r, std::size_t i) {
  return r ? std::get_if<ns::InodeAnswer>(&r->answers[i].answer) : nullptr;
}

FakeCluster::FakeCluster(std::uint32_t clients)
    : keys(4, clients),
      behaviours_(kPool),
      engine_(std::move(*execution::Engine::from_genesis(keys.genesis, keys.verifier))),
      eras_{{keys.config(), {0, 1, 2, 3}}},
      seats_(eras_[0].members) {
  versions_.push_back(engine_.version());
}

ReplicaSet FakeCluster::connected() const {
  ReplicaSet set = 0;
  for (ReplicaId r = 0; r < seats_.size(); ++r)
    if (behaviours_[seats_[r]].connected) set |= bit(r);
  return set;
}

void FakeCluster::follow(const config::Config& config) { seats_ = members_of(config); }

void FakeCluster::send(ReplicaId to, ByteView message) {
  REQUIRE(to < seats_.size());
  const ReplicaId r = seats_[to];
  if (!behaviours_[r].connected) return;
  const auto asked = messages::frame_epoch(keys.context.cluster_id, message);
  REQUIRE(asked);
  auto decoded = messages::decode_client_frame(context(*asked), message);
  REQUIRE(decoded);
  if (*asked < epoch_of(r)) return answer_epochs(r, *asked);
  if (*asked > epoch_of(r)) return;
  std::visit([&](auto& m) { on(r, std::move(m)); }, *decoded);
}

void FakeCluster::deliver(const std::function<void(ReplicaId, ByteView)>& sink) {
  while (!mail_.empty() && mail_.begin()->first <= now.mono) {
    const auto [from, frame] = mail_.begin()->second;
    mail_.erase(mail_.begin());
    const auto seat = std::ranges::find(seats_, from);
    if (seat != seats_.end()) sink(static_cast<ReplicaId>(seat - seats_.begin()), frame);
  }
}

void FakeCluster::answer(ReplicaId from, const messages::ReplicaMessage& message,
                         std::uint32_t copies) {
  post(from, epoch_of(from), message, copies);
}

void FakeCluster::answer_epochs(ReplicaId from, std::uint64_t asked) {
  messages::Epochs epochs;
  const std::uint64_t end = std::min(epoch_of(from), asked + limits::kMaxEpochSteps);
  for (std::uint64_t e = asked; e < end; ++e) epochs.steps.push_back(steps_[e]);
  if (behaviours_[from].epochs_lie) behaviours_[from].epochs_lie(epochs);
  ++epochs_sent;
  post(from, asked, epochs, 1);
}

void FakeCluster::post(ReplicaId from, std::uint64_t epoch, const messages::ReplicaMessage& message,
                       std::uint32_t copies) {
  if (behaviours_[from].silent) return;
  const Bytes frame = messages::encode_frame(context(epoch), message);
  for (std::uint32_t i = 0; i < copies; ++i)
    mail_.emplace(now.mono + behaviours_[from].delay, std::pair{from, frame});
}

void FakeCluster::on(ReplicaId r, const messages::Submit& m) {
  const auto parsed = messages::parse_item(m.item);
  REQUIRE(parsed);
  REQUIRE(messages::verify_item(keys.verifier, keys.genesis.cluster_id(), m.item, parsed->client));
  items.push_back({r, m.item, parsed->bundle() ? parsed->bundle()->operations.size() : 0});
  const Behaviour& b = behaviours_[r];
  if (b.silent || b.deaf_to_items) return;
  if (b.busy)
    return answer(r, messages::Refusal{parsed->digest, messages::RefusalReason::busy, 20});
  if (parsed->bundle() == nullptr) opens_[parsed->digest].insert(r);
  if (done_.contains(parsed->digest)) {
    if (b.forgetful)
      return answer(r, messages::Refusal{parsed->digest, messages::RefusalReason::already_done, 0});
    if (parsed->bundle() != nullptr) subscribers_[parsed->bundle()->session_id].insert(r);
    return answer_item(r, parsed->digest);
  }
  const bool known = parsed->bundle() != nullptr
                         ? engine_.session(parsed->bundle()->session_id).has_value()
                         : admit_strangers || engine_.principal(parsed->client).has_value();
  if (!known)
    return answer(r, messages::Refusal{parsed->digest, messages::RefusalReason::no_session, 0});
  // A backup passes it on; without a primary it waits for the next one.
  const Era& era = eras_.back();
  const ReplicaId primary = era.members[era.config.primary(view)];
  if (r != primary && (behaviours_[primary].silent || behaviours_[primary].deaf_to_items)) return;
  if (!taken_.insert(parsed->digest).second) return;
  held_.push_back(m.item);
  if (order) order_held();
}

void FakeCluster::order_held() {
  std::vector<messages::Item> batch;
  batch.swap(held_);
  if (!batch.empty()) execute(std::move(batch));
}

Seq FakeCluster::execute(std::vector<messages::Item> batch_items) {
  messages::Batch batch;
  batch.seq = engine_.executed_seq() + 1;
  batch.time_us = now.wall;
  batch.items = std::move(batch_items);
  const auto parsed = messages::parse_batch(context(epoch()), std::move(batch));
  REQUIRE(parsed);
  auto executed = engine_.execute(*parsed);
  REQUIRE(executed);
  versions_.push_back(engine_.version());
  executed_.push_back(std::move(*executed));
  const auto& results = executed_.back().results;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& r = results[i];
    taken_.erase(r.request_digest);
    if (!r.first_time) continue;
    done_[r.request_digest] = {seq(), i};
    const auto& waiting = r.bundle_no == 0 ? opens_[r.request_digest] : subscribers_[r.session_id];
    for (const ReplicaId to : waiting) answer_item(to, r.request_digest);
  }
  return seq();
}

messages::RootCert FakeCluster::cert(Seq at) const {
  const messages::CertBody& body = executed_[at - 1].body;
  const Era& era = eras_[body.epoch];
  return certify(body, {era.members.begin(), era.members.begin() + era.config.quorum()});
}

messages::RootCert FakeCluster::certify(const messages::CertBody& body,
                                        const std::vector<ReplicaId>& signers) const {
  messages::RootCert cert;
  cert.body = body;
  const Era& era = eras_[body.epoch];
  for (ReplicaId r = 0; r < era.members.size(); ++r) {
    if (std::ranges::find(signers, era.members[r]) == signers.end()) continue;
    cert.signers |= bit(r);
    cert.signatures.push_back(
        messages::sign_share(*pool.replicas[era.members[r]], body, r).signature);
  }
  return cert;
}

std::vector<ReplicaId> FakeCluster::members_of(const config::Config& config) const {
  std::vector<ReplicaId> members;
  for (const config::Replica& replica : config.replicas)
    members.push_back(*config::position_of(pool.config(), replica.vote_key));
  return members;
}

config::Config FakeCluster::next_config(const std::vector<ReplicaId>& members) const {
  config::Config next = engine_.config();
  ++next.epoch;
  next.replicas.clear();
  for (const ReplicaId r : members) {
    next.replicas.push_back(pool.config().replicas[r]);
    next.replicas.back().id = static_cast<ReplicaId>(next.replicas.size() - 1);
  }
  return next;
}

void FakeCluster::schedule(const config::Config& next) {
  schema::ChangeConfig op;
  op.body = {engine_.config().hash(), next, now.wall + 600'000'000};
  op.signatures = {
      {0, keys.admin->sign(tags::kConfig, {keys.context.cluster_id, 0}, encode(op.body))}};
  const auto proposed = other_client(op);
  REQUIRE(proposed.results.at(0).code == schema::Code::ok);
  const Hash proposal = schema::proposal_hash(*engine_.pending_change());
  std::vector<messages::Item> ready;
  for (const ReplicaId r : members_of(next))
    ready.push_back(messages::sign_ready(*pool.replicas[r], keys.context.cluster_id,
                                         {proposal, pool.replicas[r]->public_key(), seq()}));
  execute(ready);
  REQUIRE(engine_.body().epoch_end_seq > seq());
}

void FakeCluster::finish_epoch() {
  const config::Config next = engine_.pending_change()->next;
  while (engine_.config().epoch < next.epoch) execute({});
  messages::EpochStep step{cert(seq()), next};
  eras_.push_back({next, members_of(next)});
  // The next members sign the same bytes, by their own positions.
  const Era& era = eras_.back();
  for (ReplicaId r = 0; r < era.config.quorum(); ++r) {
    step.cert.next_signers |= bit(r);
    step.cert.next_signatures.push_back(
        messages::sign_share(*pool.replicas[era.members[r]], step.cert.body, r).signature);
  }
  steps_.push_back(std::move(step));
  view = 0;
  // Nothing that only a primary or a link had in memory goes over.
  held_.clear();
  taken_.clear();
  subscribers_.clear();
  opens_.clear();
}

messages::Reply FakeCluster::reply_to(const Hash& digest, Seq certified) const {
  const auto [at, index] = done_.at(digest);
  const execution::Executed& batch = executed_[at - 1];
  messages::Reply reply;
  reply.request_digest = digest;
  reply.session_id = batch.results[index].session_id;
  reply.bundle_no = batch.results[index].bundle_no;
  reply.results = batch.results[index].result;
  reply.leaf_index = static_cast<std::uint32_t>(index);
  reply.path = execution::reply_path(batch, index);
  reply.history_before = batch.history_before;
  for (Seq s = at; s <= certified; ++s) reply.headers.push_back(executed_[s - 1].header);
  reply.cert = cert(certified);
  return reply;
}

void FakeCluster::answer_item(ReplicaId from, const Hash& digest) {
  if (behaviours_[from].mute_replies || behaviours_[from].forgetful ||
      done_.at(digest).first > newest_of(from))
    return;
  messages::Reply reply = reply_to(digest, newest_of(from));
  if (behaviours_[from].reply_lie) behaviours_[from].reply_lie(reply);
  answer(from, reply, behaviours_[from].copies);
}

void FakeCluster::on(ReplicaId r, const messages::Subscribe& m) {
  if (!behaviours_[r].silent) subscribers_[m.session_id].insert(r);
}

void FakeCluster::on(ReplicaId r, messages::Read m) {
  reads.emplace_back(r, m);
  const Behaviour& b = behaviours_[r];
  messages::ReadReply reply;
  reply.request_id = m.request_id;
  const Seq newest =
      b.oldest_root ? std::min(std::max<Seq>(m.min_seq, 1), newest_of(r)) : newest_of(r);
  reply.seq = b.reads_at.value_or(newest);
  if (reply.seq != 0 && reply.seq != m.known_cert) reply.cert = cert(reply.seq);
  if (b.read_twist) b.read_twist(m);
  if (reply.seq == 0 || (reply.seq < m.min_seq && !b.reads_at)) {
    reply.status = messages::ReadStatus::too_old;
    return answer(r, reply);
  }
  const tree::Recorder recorder(versions_[reply.seq]);
  for (const schema::Query& q : m.queries) ns::evaluate(recorder, q, keys.clients[0]->public_key());
  auto proof = tree::prove(recorder);
  if (proof)
    reply.proof = std::move(*proof);
  else
    reply.status = messages::ReadStatus::too_large;
  if (b.read_lie) b.read_lie(reply);
  answer(r, reply);
}

void FakeCluster::on(ReplicaId r, const messages::StatusQuery& m) {
  messages::StatusReply s;
  s.request_id = m.request_id;
  s.replica = r;
  s.view = view;
  s.certified_seq = newest_of(r);
  answer(r, s);
}

void FakeCluster::on(ReplicaId r, const messages::EvidenceQuery& m) {
  answer(r, messages::EvidenceReply{m.request_id, 0, std::nullopt});
}

void FakeCluster::on(ReplicaId r, const messages::Fresh& m) {
  fresh.emplace_back(r, m);
  const Behaviour& b = behaviours_[r];
  if (b.deaf_to_fresh) return;
  messages::FreshReply reply{m.nonce, m.epoch, messages::NothingCertified{}};
  const Seq newest = b.fresh_at.value_or(newest_of(r));
  if (newest != 0 && newest == m.known_cert)
    reply.newest = cert(newest).body.digest();
  else if (newest != 0)
    reply.newest = cert(newest);
  if (b.fresh_lie) b.fresh_lie(reply);
  answer(r, reply, b.copies);
}

void FakeCluster::pass_time(std::uint64_t microseconds) {
  for (std::uint64_t step = 0; step < microseconds; step += limits::kLeaseStepUs) {
    now.mono += limits::kLeaseStepUs;
    now.wall += limits::kLeaseStepUs;
    execute({});
  }
}

schema::BundleResult FakeCluster::other_client(schema::OperationBody body) {
  const crypto::Signer& signer = *keys.clients[1];
  const Hash cluster_id = keys.genesis.cluster_id();
  const auto result_of = [this](const messages::Item& item) {
    const Seq at = execute({item});
    return *decode<schema::BundleResult>(executed_[at - 1].results.front().result, "result");
  };
  if (other_number_ == 0) {
    messages::SessionOpen open;
    open.client = signer.public_key();
    open.valid_until_us = now.wall + 60'000'000;
    other_session_ = result_of(messages::sign_session_open(signer, cluster_id, open)).session_id;
  }
  messages::Bundle bundle;
  bundle.session_id = other_session_;
  bundle.client = signer.public_key();
  bundle.bundle_no = ++other_number_;
  bundle.ack_upto = other_number_ - 1;
  bundle.valid_until_us = now.wall + 60'000'000;
  bundle.operations.push_back({root_user(), std::move(body)});
  return result_of(messages::sign_bundle(signer, cluster_id, bundle));
}

// ---- Harness

Harness::Harness(std::function<void(Options&)> change) {
  options.genesis = cluster.keys.genesis;
  options.signer = test::test_signer("client 0");
  options.timeout = std::chrono::milliseconds(10'000);
  options.on_fault = [this](const Fault& f) { faults.push_back(f); };
  if (change) change(options);
  engine = std::make_unique<Engine>(options, cluster.keys.verifier, cluster, 42);
}

void Harness::turn() {
  cluster.deliver(
      [&](ReplicaId from, ByteView frame) { engine->on_frame(from, frame, cluster.now); });
  if (epoch_ != engine->config().epoch) {
    epoch_ = engine->config().epoch;
    connected_ = 0;
  }
  const ReplicaSet connected = cluster.connected();
  for (ReplicaId r = 0; r < engine->config().n(); ++r)
    if ((connected & ~connected_ & bit(r)) != 0) engine->on_connected(r);
  connected_ = connected;
  engine->poll(cluster.now);
  for (const auto& callback : engine->take_ready()) callback();
}

bool Harness::run(const std::function<bool()>& done, Micros limit) {
  const Micros end = cluster.now.mono + limit;
  std::size_t spins = 0;
  for (;;) {
    turn();
    if (done()) return true;
    const Micros next = std::min(engine->next_wake(), cluster.next_delivery());
    if (next > end) break;
    // An engine that asks to be woken in the past burns a processor.
    if (next <= cluster.now.mono) ++spins;
    REQUIRE(spins < 100);
    const Micros step = next > cluster.now.mono ? next - cluster.now.mono : 1;
    cluster.now.mono += step;
    cluster.now.wall += step;
  }
  const Micros rest = end > cluster.now.mono ? end - cluster.now.mono : 0;
  cluster.now.mono += rest;
  cluster.now.wall += rest;
  turn();
  return done();
}

void Harness::run_for(Micros time) {
  run([] { return false; }, time);
}

Result<schema::OpResult> Harness::execute(schema::OperationBody body) {
  std::optional<Result<schema::OpResult>> result;
  engine->submit(
      {root_user(), std::move(body)},
      [&](Result<schema::OpResult> r) {
        REQUIRE_FALSE(result);
        result = std::move(r);
      },
      0, cluster.now);
  REQUIRE(run([&] { return result.has_value(); }));
  return *result;
}

void Harness::all(const std::function<void(Behaviour&)>& change) {
  for (ReplicaId r = 0; r < FakeCluster::kPool; ++r) change(cluster.replica(r));
}

void Harness::begin_read(schema::QueryBody query, ReadMode mode,
                         std::optional<Result<ReadResult>>& result) {
  engine->read(
      {{root_user(), std::move(query)}}, mode,
      [&](Result<ReadResult> r) {
        REQUIRE_FALSE(result);
        result = std::move(r);
      },
      cluster.now);
}

Result<ReadResult> Harness::read(std::vector<schema::QueryBody> queries, ReadMode mode) {
  std::vector<schema::Query> all;
  for (auto& q : queries) all.push_back({root_user(), std::move(q)});
  std::optional<Result<ReadResult>> result;
  engine->read(
      std::move(all), mode,
      [&](Result<ReadResult> r) {
        REQUIRE_FALSE(result);
        result = std::move(r);
      },
      cluster.now);
  REQUIRE(run([&] { return result.has_value(); }));
  return *result;
}

}  // namespace bftmeta::client::testing
