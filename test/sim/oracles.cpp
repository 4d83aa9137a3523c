#include "sim/oracles.hpp"

#include "base/assert.hpp"
#include "namespace/check.hpp"
#include "schema/keys.hpp"

namespace bftmeta::sim {

using messages::ReplicaId;
using messages::Seq;
namespace keys = schema::keys;

namespace {

std::string number(Seq seq) { return "sequence number " + std::to_string(seq); }

template <class Record>
std::optional<Record> load(const tree::Reader& state, const Key& key, const char* type) {
  Bytes value;
  if (state.get(key, value) != tree::Found::value) return std::nullopt;
  auto record = schema::decode_record<Record>(value, type);
  if (!record) return std::nullopt;
  return std::move(*record);
}

bool same_page(const ns::DirectoryPage& a, const ns::DirectoryPage& b) {
  if (a.directory != b.directory || a.eof != b.eof || a.next_cookie != b.next_cookie ||
      a.entries.size() != b.entries.size())
    return false;
  for (std::size_t i = 0; i < a.entries.size(); ++i)
    if (a.entries[i].cookie != b.entries[i].cookie || a.entries[i].ino != b.entries[i].ino ||
        a.entries[i].name != b.entries[i].name || a.entries[i].type != b.entries[i].type ||
        a.entries[i].attributes != b.entries[i].attributes)
      return false;
  return true;
}

bool same_answer(const ns::Answer& a, const ns::Answer& b) {
  if (a.index() != b.index()) return false;
  if (const auto* x = std::get_if<ns::InodeAnswer>(&a)) {
    const auto& y = std::get<ns::InodeAnswer>(b);
    return x->ino == y.ino && x->attributes == y.attributes && x->symlink == y.symlink;
  }
  if (const auto* x = std::get_if<ns::DirectoryPage>(&a))
    return same_page(*x, std::get<ns::DirectoryPage>(b));
  if (const auto* x = std::get_if<ns::FileData>(&a)) {
    const auto& y = std::get<ns::FileData>(b);
    return x->attributes == y.attributes && x->inline_data == y.inline_data &&
           x->extents.size() == y.extents.size();
  }
  if (const auto* x = std::get_if<schema::Counters>(&a)) return *x == std::get<schema::Counters>(b);
  if (const auto* x = std::get_if<ns::SessionAnswer>(&a)) {
    const auto& y = std::get<ns::SessionAnswer>(b);
    return x->session == y.session && x->result == y.result && x->tombstone == y.tombstone;
  }
  return true;  // queries that no simulated client sends
}

}  // namespace

Oracles::Oracles(Known known, const config::Genesis& genesis, const Scheduler& scheduler,
                 bool reference)
    : scheduler_(scheduler),
      known_(*epochs_.emplace_back(make_epoch(std::move(known))).known),
      liveness_(known_.config, [this](const char* o, const std::string& w) { violation(o, w); }),
      transfers_(known_, [this](const char* o, const std::string& w) { violation(o, w); }) {
  if (reference) reference_ = std::make_unique<Reference>(genesis, *known_.verifier);
}

Oracles::Epoch Oracles::make_epoch(Known known) {
  BFTMETA_ASSERT(known.faulty_members() <= known.config.f());
  Epoch epoch;
  epoch.known = std::make_unique<Known>(std::move(known));
  epoch.statements = std::make_unique<Statements>(
      *epoch.known, [this](const char* o, const std::string& w) { violation(o, w); });
  return epoch;
}

void Oracles::epoch_began(const messages::EpochStep& step) {
  const std::uint64_t ended = step.next.epoch - 1;
  Epoch& before = epochs_.at(ended);
  if (before.ended &&
      (before.ended->next != step.next || before.ended->cert.body != step.cert.body))
    return violation("S2", "epoch " + std::to_string(ended) + " ends in two ways: " +
                               print(step.cert.body) + " and " + print(before.ended->cert.body));
  if (before.ended) return;
  if (const Status holds = messages::verify_joint_cert(*known_.verifier, known_.context.cluster_id,
                                                       before.known->config, step.next, step.cert);
      !holds)
    violation("S2", "an epoch begins without a joint certificate: " + holds.error().message);
  before.ended = step;
  Known known = known_;
  known.config = step.next;
  known.context = {crypto::Context{known_.context.cluster_id, step.next.epoch}, step.cert.body.seq};
  epochs_.push_back(make_epoch(std::move(known)));
}

void Oracles::violation(const char* oracle, const std::string& what) {
  if (violations_.size() < kMaxViolations)
    violations_.push_back(std::string(oracle) + " at " + std::to_string(scheduler_.now()) +
                          " us: " + what);
}

Hash Oracles::digest() const {
  crypto::Hasher all(tags::Domain::history_chain);
  for (const auto& [seq, agreed] : *known_.agreed) all.update(agreed.body.digest());
  return all.finish();
}

void Oracles::sent(ReplicaId from, const messages::PeerMessage& message,
                   const std::vector<ReplicaId>& to, std::uint64_t epoch) {
  epochs_.at(epoch).statements->sent(from, message, to);
  for (const ReplicaId r : to) transfers_.sent(from, r, message);
  if (!known_.correct(from)) return;
  for (const ReplicaId r : to) liveness_.sent(from, r, message, scheduler_.now());
}

void Oracles::logged(ReplicaId replica, const consensus::Record& record, std::uint64_t wall_us,
                     std::uint64_t epoch) {
  using consensus::RecordKind;
  if (fenced_.contains(replica) &&
      (record.kind == RecordKind::vote || record.kind == RecordKind::prepared ||
       record.kind == RecordKind::left))
    violation("S13", "replica " + std::to_string(replica) + " is fenced and votes again");
  if (record.kind == RecordKind::entered && known_.correct(replica)) {
    const auto entered = decode<consensus::EnteredRecord>(record.payload, "entered record");
    BFTMETA_ASSERT(entered.has_value());
    const auto [last, first] = entered_.try_emplace(replica, entered->view);
    if (!first && entered->view <= last->second)
      violation("S4", "replica " + std::to_string(replica) + " enters view " +
                          std::to_string(entered->view) + " after view " +
                          std::to_string(last->second));
    last->second = entered->view;
  }
  if (record.kind == RecordKind::body && record.digest) logged_[replica].insert(*record.digest);
  if (record.kind != RecordKind::vote || !known_.correct(replica)) return;
  const auto vote = decode<consensus::VoteRecord>(record.payload, "vote record");
  BFTMETA_ASSERT(vote.has_value());
  if (!logged_[replica].contains(vote->proposal.digest))
    violation("S4", "replica " + std::to_string(replica) + " votes at " +
                        number(vote->proposal.seq) + " for a batch that it does not have");
  epochs_.at(epoch).statements->voted(replica, vote->proposal, wall_us);
}

void Oracles::fenced(ReplicaId replica, const std::string& why) {
  if (known_.standing.at(replica) == Standing::byzantine) return;
  fenced_.insert(replica);
  if (known_.correct(replica))
    violation("S13", "replica " + std::to_string(replica) + " lost nothing and is fenced: " + why);
}

void Oracles::accused(ReplicaId holder, const messages::Accusation& accusation) {
  if (known_.standing.at(holder) == Standing::byzantine || !known_.correct(accusation.replica))
    return;
  violation("S13", "a correct replica is accused: " + messages::to_string(accusation));
}

// ---- execution

void Oracles::executed(ReplicaId replica, const messages::ParsedBatch& batch,
                       const consensus::Outcome& outcome, const std::vector<Outcome>& items,
                       const tree::Version* state) {
  if (known_.standing.at(replica) == Standing::byzantine) return;
  const Seq seq = outcome.header.seq;
  const std::string who = "replica " + std::to_string(replica);
  const auto [it, first] =
      known_.agreed->try_emplace(seq, Known::Agreed{outcome.body, batch.digest});
  if (!first) {
    if (it->second.body != outcome.body || it->second.batch_digest != batch.digest)
      violation("S1", who + " executes another batch at " + number(seq) + ": " +
                          print(outcome.body) + " and " + print(it->second.body));
    return;
  }
  if (seq > 1 && !known_.agreed->contains(seq - 1))
    violation("S1", who + " executes " + number(seq) + " before anybody executed the one before");
  Statements& statements = *epochs_.at(outcome.body.epoch).statements;
  if (outcome.body.epoch_end_seq != 0) statements.ends_with(outcome.body.epoch_end_seq);
  if (!statements.committed(seq, batch.digest, replica))
    violation("S14", who + " executes " + number(seq) + ", which no quorum can have committed");
  check_time(batch, outcome);
  check_items(batch, items);
  if (state != nullptr) versions_.insert_or_assign(seq, *state);
  if (!reference_) return;
  if (const std::string difference = reference_->compare(batch, outcome.header);
      !difference.empty()) {
    violation("S7", difference);
    reference_.reset();  // everything after it would differ too
  }
}

void Oracles::transfer_ended(ReplicaId replica, const messages::CertifiedState& state,
                             const tree::Version& fetched) {
  const auto truth = versions_.find(state.cert.body.seq);
  transfers_.ended(replica, state, fetched, truth == versions_.end() ? nullptr : &truth->second);
}

void Oracles::check_items(const messages::ParsedBatch& batch,
                          const std::vector<Outcome>& outcomes) {
  std::set<Hash> there;
  for (std::size_t i = 0; i < batch.items.size(); ++i) {
    if (!there.insert(batch.items[i].digest).second)
      violation("S3", "an item stands twice in " + number(batch.batch.seq));
    if (!messages::verify_item(*known_.verifier, known_.context.cluster_id, batch.batch.items[i],
                               batch.items[i].client))
      violation("S3", "an item of " + number(batch.batch.seq) + " was not signed by its client");
    if (i < outcomes.size() && outcomes[i].final) check_outcome(batch.batch.seq, outcomes[i]);
  }
}

void Oracles::check_outcome(Seq seq, const Outcome& o) {
  const auto [it, first] =
      decided_.try_emplace(o.request_digest, Decided{seq, o.results_digest, o.first_time});
  if (first && !o.first_time && o.bundle_no != 0)
    violation("S3",
              "a request that was never executed has the outcome of another one at " + number(seq));
  if (!first && o.first_time && it->second.first_time)
    violation("S3", "one request is executed at " + number(it->second.seq) + " and again at " +
                        number(seq));
  if (!first && it->second.results_digest != o.results_digest)
    violation("S3", "one request has two outcomes, at " + number(it->second.seq) + " and at " +
                        number(seq));
  if (!o.first_time || o.bundle_no == 0) return;
  const auto of = executed_of_.try_emplace({o.session_id, o.bundle_no}, o.request_digest);
  if (!of.second)
    violation("S3", "bundle " + std::to_string(o.bundle_no) +
                        " of one session is executed twice, again at " + number(seq));
}

// S11: agreed time is what the rules of execution say, never behind, and the proposal's own time
// was judged by a correct clock (Statements::voted).
void Oracles::check_time(const messages::ParsedBatch& batch, const consensus::Outcome& outcome) {
  const Seq seq = outcome.header.seq;
  const auto before = known_.agreed->find(seq - 1);
  if (before == known_.agreed->end()) return;
  const bool null = batch.batch.flags == messages::BatchFlags::null;
  const std::uint64_t least = before->second.body.time_us + 1;
  const std::uint64_t expected = null ? least : std::max(least, batch.batch.time_us);
  if (outcome.body.time_us != expected)
    violation("S11", number(seq) + " has agreed time " + std::to_string(outcome.body.time_us) +
                         " instead of " + std::to_string(expected));
}

// ---- clients

void Oracles::acknowledged(const Acknowledged& what) {
  last_acknowledged_ = std::max(last_acknowledged_, what.seq);
  acknowledged_.try_emplace(what.request_digest, what);
  const auto it = decided_.find(what.request_digest);
  if (it == decided_.end())
    return violation("S9", "client " + std::to_string(what.client) +
                               " accepts an outcome of something that was not executed");
  if (it->second.results_digest != what.results_digest || it->second.seq > what.seq)
    violation("S9", "client " + std::to_string(what.client) + " accepts another outcome at " +
                        number(what.seq) + " than execution had at " + number(it->second.seq));
}

void Oracles::read(const PublicKey& principal, const schema::Query& query, Seq seq,
                   const ns::QueryResult& result) {
  const auto version = versions_.find(seq);
  if (version == versions_.end()) {
    if (seq != 0)
      violation("S9", "a read is answered at " + number(seq) + ", which nobody executed");
    return;
  }
  ++reads_checked_;
  const ns::QueryResult truth = ns::evaluate(version->second, query, principal);
  if (truth.code != result.code || !same_answer(truth.answer, result.answer))
    violation("S9", "a verified read at " + number(seq) + " is not what the state says");
}

// ---- in the end

void Oracles::finish(const std::vector<test::HistoryEntry>& history,
                     const std::vector<const Host*>& up) {
  for (const std::string& problem : test::check_history(history)) violation("S10", problem);
  const Host* newest = nullptr;
  for (const Host* host : up)
    if (host->standing() != Standing::byzantine &&
        (newest == nullptr || host->machine().executed_seq() > newest->machine().executed_seq()))
      newest = host;
  if (newest == nullptr) return;
  check_kept(*newest);
  const Machine& machine = newest->machine();
  if (const tree::Version* state = machine.version(machine.executed_seq())) check_state(*state);
}

// S5: what a client was told is still there, in the record of its session, or of its grave.
void Oracles::check_kept(const Host& host) {
  const Seq executed = host.machine().executed_seq();
  const tree::Version* state = host.machine().version(executed);
  for (const auto& [request, what] : acknowledged_) {
    if (what.seq > executed)
      violation("S5", "what was acknowledged at " + number(what.seq) +
                          " is lost: the newest state is " + std::to_string(executed));
    else if (state != nullptr)
      check_kept(*state, what);
    else if (host.machine().last_bundle(what.session_id) < what.bundle_no)
      violation("S5", "bundle " + std::to_string(what.bundle_no) + ", acknowledged at " +
                          number(what.seq) + ", is unknown to its session");
  }
}

void Oracles::check_kept(const tree::Reader& state, const Acknowledged& what) {
  const std::string name = "client " + std::to_string(what.client) + "'s bundle " +
                           std::to_string(what.bundle_no) + ", acknowledged at " +
                           number(what.seq) + ",";
  const auto session = load<schema::Session>(state, keys::session(what.session_id), "session");
  if (!session) {
    const auto grave =
        load<schema::Tombstone>(state, keys::tombstone(what.session_id), "tombstone");
    if (!grave || grave->principal != what.key || grave->last_bundle < what.bundle_no)
      violation("S5", name + " has left neither a session nor a tombstone that knows it");
    return;
  }
  if (session->principal != what.key || session->last_bundle < what.bundle_no)
    return violation("S5", name + " is unknown to its session");
  if (what.bundle_no <= session->ack_upto) return;
  const auto kept = load<schema::StoredResult>(
      state, keys::session_result(what.session_id, what.bundle_no), "stored result");
  if (!kept || kept->request_digest != what.request_digest ||
      kept->results_digest != what.results_digest)
    violation("S5", name + " has another stored result, or none");
}

// S8.
void Oracles::check_state(const tree::Reader& state) {
  ++states_checked_;
  const ns::CheckReport report = ns::check(state);
  if (!report.complete) violation("S8", "the state could not be read to its end");
  for (const std::string& problem : report.problems) violation("S8", problem);
}

}  // namespace bftmeta::sim
