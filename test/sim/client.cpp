#include "sim/client.hpp"

#include <algorithm>
#include <bit>

#include "sim/clock.hpp"
#include "verify/read.hpp"
#include "verify/reply.hpp"

namespace bftmeta::sim {

using messages::Item;
using messages::ReplicaId;
using messages::Seq;
using test::Action;

namespace {

// Far beyond any run, clocks that jump included.
constexpr std::uint64_t kForeverUs = 4'000'000'000'000'000;
// Within the hour that execution allows, after the longest run and jump.
constexpr std::uint64_t kOpenValidityUs = 3'000'000'000;

}  // namespace

Client::Client(ClientSetup setup, Scheduler& scheduler, Random random, ClientCallbacks callbacks,
               test::History& history)
    : setup_(std::move(setup)),
      scheduler_(scheduler),
      random_(random),
      callbacks_(std::move(callbacks)),
      history_(history),
      certificates_(*setup_.verifier, verify::TrustAnchor::of(*setup_.genesis)),
      cluster_id_(setup_.genesis->cluster_id()),
      left_(setup_.bundles) {
  for (ReplicaId r = 0; r < config().n(); ++r) everybody_.push_back(r);
}

void Client::follow(const messages::Epochs& epochs) {
  if (!certificates_.follow(epochs.steps)) {
    ++refuted_;
    return;
  }
  everybody_.clear();
  for (ReplicaId r = 0; r < config().n(); ++r) everybody_.push_back(r);
}

// ---- what it does of its own accord

void Client::start() {
  scheduler_.after(kRetryUs, [this] { timer(); });
  if (left_ != 0) scheduler_.after(random_.between(10, 5'000), [this] { open_session(); });
}

void Client::timer() {
  scheduler_.after(kRetryUs, [this] { timer(); });
  if (retries_) resend(everybody_);
}

void Client::resend(const std::vector<ReplicaId>& to) {
  if (opening_) send_item(*opening_, to);
  for (const auto& [number, flight] : flights_) send_item(flight.item, to);
}

void Client::add_bundles(std::uint32_t bundles) {
  left_ += bundles;
  open_session();
  send_more();
}

bool Client::done() const {
  return left_ == 0 && !opening_ && flights_.empty() && waiting_.empty() && pending_reads_.empty();
}

// ---- session and bundles

void Client::open_session() {
  if (!session_ && !opening_) send_open();
}

void Client::send_open() {
  messages::SessionOpen open;
  open.client = setup_.signer->public_key();
  open.nonce[0] = static_cast<std::uint8_t>(++opens_);
  open.valid_until_us = kWallEpochUs + kOpenValidityUs;
  opening_ = messages::sign_session_open(*setup_.signer, cluster_id_, open);
  send_item(*opening_, {callbacks_.primary()});
}

void Client::submit(std::vector<schema::Operation> operations, std::vector<ReplicaId> to) {
  if (session_) return send_bundle(std::move(operations), to, std::nullopt);
  waiting_.push_back({std::move(operations), std::move(to), std::nullopt});
  open_session();
}

void Client::send_more() {
  if (!session_) return;
  for (Waiting& w : std::exchange(waiting_, {}))
    send_bundle(std::move(w.operations), w.to, w.ordered_read);
  while (left_ > 0 && may_send()) {
    --left_;
    send_bundle(setup_.workload(random_), {}, std::nullopt);
  }
}

void Client::send_bundle(std::vector<schema::Operation> operations,
                         const std::vector<ReplicaId>& to,
                         std::optional<std::size_t> ordered_read) {
  messages::Bundle bundle;
  bundle.session_id = *session_;
  bundle.client = setup_.signer->public_key();
  bundle.bundle_no = next_bundle_++;
  bundle.ack_upto = (flights_.empty() ? bundle.bundle_no : flights_.begin()->first) - 1;
  bundle.valid_until_us = kForeverUs;
  bundle.operations = std::move(operations);
  Flight flight;
  flight.item = messages::sign_bundle(*setup_.signer, cluster_id_, bundle);
  flight.operation = history_.invoked(setup_.id, Action::write, scheduler_.now());
  flight.ordered_read = ordered_read;
  send_item(flight.item, to.empty() ? std::vector{callbacks_.primary()} : to);
  flights_.emplace(bundle.bundle_no, std::move(flight));
}

void Client::send_item(const Item& item, const std::vector<ReplicaId>& to) {
  for (const ReplicaId r : to) callbacks_.send(setup_.id, r, messages::Submit{item});
}

void Client::deliver(ReplicaId from, messages::ReplicaMessage message) {
  if (const auto* reply = std::get_if<messages::Reply>(&message))
    on_reply(from, *reply);
  else if (const auto* read = std::get_if<messages::ReadReply>(&message))
    on_read_reply(from, *read);
  else if (const auto* refusal = std::get_if<messages::Refusal>(&message))
    on_refusal(*refusal);
  else if (const auto* fresh = std::get_if<messages::FreshReply>(&message))
    on_fresh_reply(from, *fresh);
  else if (const auto* epochs = std::get_if<messages::Epochs>(&message))
    follow(*epochs);
}

void Client::on_reply(ReplicaId, const messages::Reply& reply) {
  const auto flight = flights_.find(reply.bundle_no);
  const bool about_open = reply.bundle_no == 0 && opening_;
  if (!about_open && flight == flights_.end()) return;  // late, or none of ours
  const Item& sent = about_open ? *opening_ : flight->second.item;
  const verify::Expected expected{sent.digest(), about_open ? Id16{} : *session_, reply.bundle_no};
  schema::BundleResult result;
  Seq seq = 0;
  if (setup_.proofs) {
    auto verified = verify::verify_reply(reply, expected, certificates_);
    if (!verified) {
      // An answer to an older SESSION-OPEN is no lie.
      if (reply.request_digest == expected.request_digest) ++refuted_;
      return;
    }
    result = std::move(verified->result);
    seq = verified->seq;
  } else {
    auto believed = decode<schema::BundleResult>(reply.results, "bundle result");
    if (!believed || reply.request_digest != expected.request_digest) return;
    result = std::move(*believed);
    seq = reply.headers.front().seq;
  }
  switch (result.outcome) {
    case schema::BundleOutcome::session_opened:
      if (about_open) opened(result.session_id, seq, reply);
      return;
    case schema::BundleOutcome::done:
    case schema::BundleOutcome::expired:
      if (!about_open) resolve(reply.bundle_no, seq, messages::results_digest(reply.results));
      return;
    case schema::BundleOutcome::open_refused: return send_open();
    default:
      if (!about_open) doubt(reply.bundle_no);
  }
}

void Client::opened(const Id16& session, Seq seq, const messages::Reply& reply) {
  callbacks_.acknowledged({setup_.id, setup_.signer->public_key(), opening_->digest(), session, 0,
                           seq, messages::results_digest(reply.results)});
  opening_.reset();
  session_ = session;
  next_bundle_ = 1;
  token_ = std::max(token_, seq);
  scheduler_.after(random_.between(20, setup_.think_max_us + 20), [this] { send_more(); });
}

void Client::resolve(std::uint64_t bundle_no, Seq seq, const Hash& results_digest) {
  const Flight flight = std::move(flights_.at(bundle_no));
  flights_.erase(bundle_no);
  callbacks_.acknowledged({setup_.id, setup_.signer->public_key(), flight.item.digest(), *session_,
                           bundle_no, seq, results_digest});
  history_.returned(flight.operation, seq, scheduler_.now());
  token_ = std::max(token_, seq);
  ++acknowledged_;
  if (flight.ordered_read) {
    PendingRead& read = pending_reads_.at(*flight.ordered_read);
    read.ready = true;
    read.min_seq = seq;
    send_read(*flight.ordered_read);
  } else if (random_.chance(setup_.reads)) {
    constexpr ReadMode kModes[] = {ReadMode::token, ReadMode::token, ReadMode::fresh,
                                   ReadMode::fresh, ReadMode::ordered};
    read(random_query(), kModes[random_.below(std::size(kModes))]);
  }
  scheduler_.after(random_.between(20, setup_.think_max_us + 20), [this] { send_more(); });
}

void Client::on_refusal(const messages::Refusal& refusal) {
  const bool session_gone = refusal.reason == messages::RefusalReason::no_session;
  if (!session_gone && refusal.reason != messages::RefusalReason::already_done) return;
  for (const auto& [number, flight] : flights_)
    if (flight.item.digest() == refusal.request_digest) return doubt(number);
}

// ---- reads

void Client::read(schema::Query query, ReadMode mode) {
  const std::uint64_t id = next_read_++;
  PendingRead& read = pending_reads_[id];
  read.query = std::move(query);
  read.mode = mode;
  read.operation = history_.invoked(
      setup_.id, mode == ReadMode::token ? Action::session_read : Action::linearizable_read,
      scheduler_.now());
  // Where a mode learns how new the root must be.
  switch (mode) {
    case ReadMode::token:
      read.ready = true;
      read.min_seq = token_;
      return send_read(id);
    case ReadMode::fresh: return start_round(id);
    case ReadMode::ordered: return order(id);
  }
}

void Client::order(std::uint64_t id) {
  waiting_.push_back({{schema::Operation{}}, {}, id});
  open_session();
  send_more();
}

void Client::start_round(std::uint64_t id) {
  FreshRound& round = pending_reads_.at(id).round;
  round = {};
  store_be64(round.query.nonce.data(), ++rounds_);
  round.query.epoch = config().epoch;
  round.query.known_cert = certificates_.newest_seq();
  for (const ReplicaId r : everybody_) callbacks_.send(setup_.id, r, round.query);
  scheduler_.after(kFreshTimeoutUs,
                   [this, id, nonce = round.query.nonce] { end_round(id, nonce); });
}

// No quorum has answered in time: once more, then something is ordered instead.
void Client::end_round(std::uint64_t id, const Id16& nonce) {
  const auto it = pending_reads_.find(id);
  if (it == pending_reads_.end() || it->second.mode != ReadMode::fresh || it->second.ready ||
      it->second.round.query.nonce != nonce)
    return;
  if (++it->second.failed_rounds < kMaxFailedRounds) return start_round(id);
  it->second.mode = ReadMode::ordered;
  order(id);
}

// The number that a valid answer stands for. An old certificate is valid: it only does not help.
std::optional<Seq> Client::fresh_seq(const messages::Fresh& query,
                                     const messages::FreshReply& reply) {
  if (reply.epoch != query.epoch) return std::nullopt;
  if (const auto* cert = std::get_if<messages::RootCert>(&reply.newest)) {
    if (!certificates_.check(*cert)) return std::nullopt;
    return cert->body.seq;
  }
  const auto* digest = std::get_if<Hash>(&reply.newest);
  if (digest == nullptr) return 0;
  const messages::RootCert* known = certificates_.find(query.known_cert);
  if (known == nullptr || known->body.digest() != *digest) return std::nullopt;
  return query.known_cert;
}

void Client::on_fresh_reply(ReplicaId from, const messages::FreshReply& reply) {
  const auto it = std::ranges::find_if(pending_reads_, [&](const auto& p) {
    return p.second.mode == ReadMode::fresh && !p.second.ready &&
           p.second.round.query.nonce == reply.nonce;
  });
  if (it == pending_reads_.end()) return;  // to a round that is over
  PendingRead& read = it->second;
  const auto seq = fresh_seq(read.round.query, reply);
  if (!seq) {
    ++refuted_;
    return;
  }
  read.round.heard |= 1U << from;
  read.round.newest = std::max(read.round.newest, *seq);
  if (static_cast<std::uint32_t>(std::popcount(read.round.heard)) < config().quorum()) return;
  // What lies behind the end of the epoch its members do not know: a later round asks others.
  if (const auto* last = certificates_.find(read.round.newest);
      last != nullptr && last->body.epoch == config().epoch &&
      last->body.next_config_hash != Hash{})
    return;
  if (read.round.newest == 0) {  // no root yet to prove anything against
    read.mode = ReadMode::ordered;
    return order(it->first);
  }
  read.ready = true;
  read.min_seq = read.round.newest;
  send_read(it->first);
}

void Client::send_read(std::uint64_t id) {
  const auto it = pending_reads_.find(id);
  if (it == pending_reads_.end() || !it->second.ready) return;
  PendingRead& read = it->second;
  read.to = static_cast<ReplicaId>(random_.below(everybody_.size()));
  messages::Read message;
  message.request_id = id;
  message.min_seq = read.min_seq;
  message.known_cert = certificates_.newest_seq();
  message.queries.push_back(read.query);
  callbacks_.send(setup_.id, read.to, std::move(message));
  scheduler_.after(kReadTimeoutUs, [this, id] { send_read(id); });
}

void Client::on_read_reply(ReplicaId from, const messages::ReadReply& reply) {
  const auto it = pending_reads_.find(reply.request_id);
  if (it == pending_reads_.end() || it->second.to != from) return;
  if (reply.status != messages::ReadStatus::ok) return;  // the timeout asks somebody else
  const auto verified = verify::verify_read(reply, it->second.min_seq, certificates_);
  if (!verified) {
    ++refuted_;
    return;
  }
  const ns::QueryResult result =
      ns::evaluate(verified->tree, it->second.query, setup_.signer->public_key());
  if (result.unknown) {
    ++refuted_;
    return;
  }
  finish_read(reply.request_id, verified->seq, result);
}

void Client::finish_read(std::uint64_t id, Seq seq, const ns::QueryResult& result) {
  const PendingRead read = std::move(pending_reads_.at(id));
  pending_reads_.erase(id);
  callbacks_.read(setup_.id, read.query, seq, result);
  token_ = std::max(token_, seq);
  if (!read.doubt) {
    history_.returned(read.operation, seq, scheduler_.now());
    ++reads_done_;
    if (read.mode == ReadMode::fresh) ++fresh_reads_;
    return send_more();
  }
  if (const auto* evidence = std::get_if<ns::SessionAnswer>(&result.answer))
    judge(std::get<schema::GetSession>(read.query.body).bundle_no, *evidence);
}

// ---- what became of a bundle

void Client::doubt(std::uint64_t bundle_no) {
  if (!setup_.proofs) return;
  for (const auto& [id, read] : pending_reads_)
    if (read.doubt) return;
  PendingRead& read = pending_reads_[next_read_];
  read.query.body = schema::GetSession{*session_, bundle_no};
  read.ready = read.doubt = true;
  read.min_seq = token_;
  send_read(next_read_++);
}

void Client::judge(std::uint64_t bundle_no, const ns::SessionAnswer& evidence) {
  if (!evidence.session) {
    // No tombstone: the root is older than the session, or it ended a day ago.
    if (evidence.tombstone) session_lost(evidence.tombstone->last_bundle);
    return;
  }
  const auto flight = flights_.find(bundle_no);
  if (flight == flights_.end() || !evidence.result) return;
  if (evidence.result->request_digest != flight->second.item.digest()) return;
  resolve(bundle_no, evidence.result->seq, evidence.result->results_digest);
}

// What lies above the last executed bundle will never happen; below, the result went with the
// session. Both are answers, and the client goes on with a new session.
void Client::session_lost(std::uint64_t) {
  lost_ += flights_.size();
  for (const auto& [number, flight] : flights_)
    if (flight.ordered_read) pending_reads_.erase(*flight.ordered_read);
  flights_.clear();
  session_.reset();
  send_open();
}

// Names and inodes that the workload of swarm.cpp uses, and a few that never exist.
schema::Query Client::random_query() {
  schema::Query query;
  const std::uint64_t ino = 1 + random_.below(8);
  switch (random_.below(6)) {
    case 0: {
      schema::GetInode q;
      q.target.path.push_back({to_bytes("n" + std::to_string(random_.below(14)))});
      query.body = q;
      break;
    }
    case 1: query.body = schema::GetInode{.target = {.base = ino, .path = {}}}; break;
    case 2: query.body = schema::GetStatistics{}; break;
    case 3: query.body = schema::GetData{.ino = ino, .from = 0, .to = 1U << 20}; break;
    default: {
      schema::ListDirectory q;
      q.ino = random_.chance(800) ? 1 : ino;
      q.max_entries = static_cast<std::uint32_t>(random_.between(1, 20));
      q.with_attributes = random_.chance(300);
      query.body = q;
    }
  }
  return query;
}

}  // namespace bftmeta::sim
