#include "sim/engine_machine.hpp"

#include "base/assert.hpp"
#include "execution/epochs.hpp"

namespace bftmeta::sim {

using messages::Seq;

namespace {

Outcome outcome_of(const execution::ItemResult& item) {
  const auto result = decode<schema::BundleResult>(item.result, "result");
  BFTMETA_ASSERT(result.has_value());
  Outcome o;
  o.request_digest = item.request_digest;
  o.session_id = item.bundle_no == 0 ? result->session_id : item.session_id;
  o.bundle_no = item.bundle_no;
  o.results_digest = messages::results_digest(item.result);
  // Code::exists: the number went to another bundle, whose outcome this is, or READY was said
  // before. A READY that does not count has none either: no answer is kept for it.
  o.final = result->code != schema::Code::exists &&
            (result->outcome == schema::BundleOutcome::done ||
             result->outcome == schema::BundleOutcome::expired ||
             result->outcome == schema::BundleOutcome::session_opened) &&
            (item.first_time || item.bundle_no != 0 ||
             result->outcome == schema::BundleOutcome::session_opened);
  o.first_time = item.first_time;
  return o;
}

}  // namespace

std::unique_ptr<Machine> EngineMachine::genesis(const config::Genesis& genesis,
                                                const crypto::Verifier& verifier) {
  return on_store(genesis, verifier, std::make_shared<tree::MemoryPageStore>());
}

std::unique_ptr<Machine> EngineMachine::at_genesis() const {
  return on_store(genesis_, verifier_, store_);
}

std::unique_ptr<Machine> EngineMachine::on_store(const config::Genesis& genesis,
                                                 const crypto::Verifier& verifier,
                                                 std::shared_ptr<tree::MemoryPageStore> store) {
  auto engine = execution::Engine::from_genesis(genesis, verifier);
  BFTMETA_ASSERT(engine.has_value());
  return std::unique_ptr<Machine>(
      new EngineMachine(genesis, verifier, std::move(*engine), std::move(store)));
}

std::optional<messages::CertifiedState> EngineMachine::certified_state(
    const messages::RootCert& cert) const {
  if (cert.body == engine_.body()) return execution::certified_state(engine_.checkpoint(), cert);
  const auto it = entries_.find(cert.body.seq);
  if (it == entries_.end() || it->second.executed.body != cert.body) return std::nullopt;
  const execution::Executed& executed = it->second.executed;
  return messages::CertifiedState{cert, executed.header, executed.history_before};
}

Transferable::Asked EngineMachine::asked_of(const PublicKey& vote_key) const {
  const auto says = execution::joining(engine_.version(), engine_.body(), vote_key);
  BFTMETA_ASSERT(says.has_value());
  return {says->ready, says->end_share};
}

void EngineMachine::adopt(const messages::CertifiedState& state, const tree::Version& version) {
  auto engine = execution::Engine::from_checkpoint(genesis_.cluster_id(), verifier_,
                                                   execution::checkpoint_of(state), version);
  BFTMETA_ASSERT(engine.has_value());
  engine_ = std::move(*engine);
  entries_.clear();
}

Result<consensus::Outcome> EngineMachine::execute(const messages::ParsedBatch& batch) {
  BFTMETA_ASSIGN(execution::Executed executed, engine_.execute(batch));
  consensus::Outcome out;
  out.header = executed.header;
  out.body = executed.body;
  std::vector<Outcome> outcomes;
  for (const execution::ItemResult& item : executed.results) {
    outcomes.push_back(outcome_of(item));
    out.first_time.push_back(item.first_time);
  }
  entries_.insert_or_assign(out.header.seq,
                            Entry{std::move(executed), std::move(outcomes), engine_.version()});
  if (entries_.size() > kKeptBatches) entries_.erase(entries_.begin());
  return out;
}

std::uint64_t EngineMachine::last_bundle(const Id16& session) const {
  const auto info = engine_.session(session);
  return info ? info->last_bundle : 0;
}

std::vector<Outcome> EngineMachine::outcomes(Seq seq) const {
  const auto it = entries_.find(seq);
  return it == entries_.end() ? std::vector<Outcome>{} : it->second.outcomes;
}

std::optional<messages::Reply> EngineMachine::reply(Seq seq, std::size_t index,
                                                    const messages::RootCert& cert) const {
  const auto entry = entries_.find(seq);
  if (entry == entries_.end() || cert.body.seq - seq >= limits::kMaxHeaderChain)
    return std::nullopt;
  const execution::Executed& executed = entry->second.executed;
  const execution::ItemResult& item = executed.results[index];
  messages::Reply reply;
  reply.request_digest = item.request_digest;
  reply.session_id = item.session_id;
  reply.bundle_no = item.bundle_no;
  reply.results = item.result;
  reply.leaf_index = static_cast<std::uint32_t>(index);
  reply.path = execution::reply_path(executed, index);
  reply.history_before = executed.history_before;
  for (Seq s = seq; s <= cert.body.seq; ++s) {
    const auto link = entries_.find(s);
    if (link == entries_.end()) return std::nullopt;
    reply.headers.push_back(link->second.executed.header);
  }
  reply.cert = cert;
  return reply;
}

const tree::Version* EngineMachine::version(Seq seq) const {
  if (seq == executed_seq()) return &engine_.version();
  const auto it = entries_.find(seq);
  return it == entries_.end() ? nullptr : &it->second.version;
}

void EngineMachine::begin_flush() {
  flush_.emplace(Flush{tree::begin_flush(engine_.head()), encode(engine_.checkpoint())});
}

std::unique_ptr<Machine> EngineMachine::finish_flush() {
  BFTMETA_ASSERT(flush_.has_value());
  auto writer = store_->begin();
  BFTMETA_ASSERT(writer.has_value());
  while (true) {
    constexpr std::size_t kSlice = 64;  // records; small, so that there are several
    const auto all = flush_->set.write_some(**writer, kSlice);
    BFTMETA_ASSERT(all.has_value());
    if (*all) break;
  }
  auto snapshot = (*writer)->commit(flush_->set.root_record(), flush_->checkpoint);
  BFTMETA_ASSERT(snapshot.has_value());
  engine_.rebase(tree::rebase(engine_.head(), flush_->set, *snapshot));
  flush_.reset();
  return reopen();
}

std::unique_ptr<Machine> EngineMachine::reopen() const {
  auto snapshot = store_->snapshot();
  BFTMETA_ASSERT(snapshot.has_value());
  auto checkpoint = execution::decode_checkpoint((*snapshot)->meta());
  BFTMETA_ASSERT(checkpoint.has_value());
  auto version = tree::Version::open(std::move(*snapshot));
  BFTMETA_ASSERT(version.has_value());
  auto engine = execution::Engine::from_checkpoint(genesis_.cluster_id(), verifier_,
                                                   std::move(*checkpoint), std::move(*version));
  BFTMETA_ASSERT(engine.has_value());
  return std::unique_ptr<Machine>(
      new EngineMachine(genesis_, verifier_, std::move(*engine), store_));
}

}  // namespace bftmeta::sim
