#include "execution/engine.hpp"

#include <algorithm>
#include <limits>

#include "base/assert.hpp"
#include "base/mutant.hpp"
#include "execution/bundles.hpp"
#include "execution/epochs.hpp"
#include "namespace/apply.hpp"
#include "schema/keys.hpp"

namespace bftmeta::execution {

namespace keys = schema::keys;
using messages::BatchHeader;
using messages::CertBody;

namespace {

// Protocol §2.5: agreed time never stands still and never goes back. A null batch has no time.
std::uint64_t exec_time(const messages::Batch& batch, std::uint64_t previous) {
  const std::uint64_t next =
      previous == std::numeric_limits<std::uint64_t>::max() ? previous : previous + 1;
  if (batch.flags == messages::BatchFlags::null) return next;
  return mutant(Mutant::clock_goes_back) ? batch.time_us : std::max(batch.time_us, next);
}

std::size_t operations_in(const messages::ParsedBatch& batch) {
  std::size_t n = 0;
  for (const messages::ParsedItem& item : batch.items)
    if (const messages::Bundle* b = item.bundle()) n += b->operations.size();
  return n;
}

// The frontier in the state is one header behind: a batch's own header holds the root of the state.
schema::HistoryFrontier advance_frontier(State& state, const BatchHeader& previous) {
  const Key at = keys::history_frontier();
  schema::HistoryFrontier frontier;
  if (auto kept = state.load<schema::HistoryFrontier>(at, "history frontier"))
    frontier = std::move(*kept);
  if (!messages::valid_frontier(frontier) || previous.seq == 0) return frontier;
  messages::append_history(frontier, previous);
  state.store(at, frontier);
  return frontier;
}

// Lease time follows agreed time by small steps only, so that it stands still while the cluster is
// off (protocol §8.3).
std::uint64_t advance_lease_time(State& state, std::uint64_t step_us) {
  auto counters = state.load<schema::Counters>(keys::counters(), "counters");
  if (!counters) return 0;  // a fault: genesis wrote them
  counters->lease_time_us += std::min(step_us, limits::kLeaseStepUs);
  state.store(keys::counters(), *counters);
  return counters->lease_time_us;
}

ItemResult run_item(const messages::ParsedItem& item, Sessions& sessions, Bundles& bundles,
                    Epochs& epochs) {
  ItemResult result;
  result.request_digest = item.digest;
  if (const messages::Bundle* bundle = item.bundle()) {
    Answer answer = bundles.run(*bundle, item.digest);
    result.session_id = bundle->session_id;
    result.bundle_no = bundle->bundle_no;
    result.result = std::move(answer.result);
    result.first_time = answer.first_time;
  } else if (const messages::Ready* ready = item.ready()) {
    result.result = encode(epochs.ready(*ready, result.first_time));
  } else {
    result.result = encode(sessions.open(*item.session_open(), result.first_time));
  }
  return result;
}

}  // namespace

Hash ItemResult::leaf() const {
  return messages::reply_leaf(session_id, bundle_no, request_digest,
                              messages::results_digest(result));
}

std::vector<Hash> reply_path(const Executed& executed, std::size_t index) {
  return messages::merkle_path(executed.leaves, index, messages::reply_node);
}

Engine::Engine(const Hash& cluster_id, config::Config config, const crypto::Verifier& verifier,
               Checkpoint checkpoint, tree::Version version, SessionIndexes indexes)
    : cluster_id_(cluster_id),
      config_(std::move(config)),
      config_hash_(config_.hash()),
      verifier_(&verifier),
      checkpoint_(std::move(checkpoint)),
      version_(std::move(version)),
      indexes_(std::move(indexes)) {}

Result<Engine> Engine::from_genesis(const config::Genesis& genesis,
                                    const crypto::Verifier& verifier,
                                    tree::VersionOptions options) {
  BFTMETA_TRY(config::validate(genesis));
  const tree::Version nothing = tree::Version::empty(options);
  tree::Overlay overlay(nothing);
  ns::make_genesis(overlay, genesis);
  BFTMETA_ASSIGN(tree::Version version, nothing.apply(overlay.take_updates()));

  Checkpoint start;
  start.history_hash = messages::history_start(genesis.cluster_id());
  start.time_us = genesis.time_us;
  CertBody& body = start.body;
  body.cluster_id = genesis.cluster_id();
  body.config_hash = genesis.config.hash();
  body.history_hash = start.history_hash;
  body.state_root = version.state_root(body.cluster_id, limits::kSmVersion);
  body.time_us = genesis.time_us;
  return Engine(body.cluster_id, genesis.config, verifier, std::move(start), std::move(version),
                SessionIndexes{});
}

Result<Engine> Engine::from_checkpoint(const Hash& cluster_id, const crypto::Verifier& verifier,
                                       Checkpoint checkpoint, tree::Version version) {
  const std::string what = "checkpoint of sequence number " + std::to_string(checkpoint.seq) + ": ";
  if (checkpoint.body.cluster_id != cluster_id)
    return fail(Errc::identity, what + "it is of cluster " + short_hex(checkpoint.body.cluster_id) +
                                    ", not " + short_hex(cluster_id));
  if (version.state_root(cluster_id, limits::kSmVersion) != checkpoint.body.state_root)
    return fail(Errc::corrupt, what + "the stored tree has another root");
  BFTMETA_ASSIGN(config::Config config, config_after(version, checkpoint.body));
  BFTMETA_ASSIGN(SessionIndexes indexes, load_indexes(version));
  checkpoint.cert.reset();
  return Engine(cluster_id, std::move(config), verifier, std::move(checkpoint), std::move(version),
                std::move(indexes));
}

Result<Executed> Engine::execute(const messages::ParsedBatch& batch) {
  BFTMETA_ASSERT(batch.batch.seq == checkpoint_.seq + 1);
  BFTMETA_ASSERT(batch.items.size() == batch.batch.items.size());
  if (indexes_stale_) {
    BFTMETA_ASSIGN(indexes_, load_indexes(version_));
    indexes_stale_ = false;
  }
  const tree::CachedVersion base(version_);  // what a batch reads, its update need not load again
  tree::Overlay overlay(base);
  auto executed = execute_on(base, overlay, batch);
  if (!executed) indexes_stale_ = true;
  return executed;
}

Result<Executed> Engine::execute_on(const tree::CachedVersion& base, tree::Overlay& overlay,
                                    const messages::ParsedBatch& batch) {
  State state(overlay);
  Executed out;
  out.history_before = checkpoint_.history_hash;
  out.header.seq = batch.batch.seq;
  out.header.batch_digest = batch.digest;
  out.header.time_us = exec_time(batch.batch, checkpoint_.time_us);

  schema::HistoryFrontier frontier = advance_frontier(state, checkpoint_.header);
  const std::uint64_t step = out.header.time_us - checkpoint_.time_us;
  const BatchClock clock{out.header.seq, out.header.time_us, advance_lease_time(state, step)};
  ns::Context context;
  context.exec_time_us = clock.time_us;
  context.cluster_id = cluster_id_;
  context.history_hash = checkpoint_.history_hash;
  context.config = &config_;
  context.verifier = verifier_;

  Sessions sessions(state, indexes_, clock);
  Bundles bundles(state, sessions, clock, context);
  Epochs epochs(state, config_, clock);
  sessions.expire();
  ns::housekeeping(overlay, context, operations_in(batch));
  for (const messages::ParsedItem& item : batch.items) {
    out.results.push_back(run_item(item, sessions, bundles, epochs));
    out.leaves.push_back(out.results.back().leaf());
  }
  Epochs::End end = epochs.close_batch();
  if (state.fault() || frontier.count + 1 != out.header.seq || !messages::valid_frontier(frontier))
    return tl::make_unexpected(store_error(out.header.seq));

  const std::vector<tree::Update> updates = overlay.take_updates();
  out.touched.reserve(updates.size());
  for (const tree::Update& update : updates) out.touched.push_back(update.key);
  BFTMETA_ASSIGN(tree::Version next, base.apply(updates));
  out.header.reply_root = messages::merkle_root(out.leaves, messages::reply_node);
  out.header.reply_count = static_cast<std::uint32_t>(out.leaves.size());
  out.header.state_root = next.state_root(cluster_id_, config_.sm_version);
  messages::append_history(frontier, out.header);

  CertBody& body = out.body;
  body.cluster_id = cluster_id_;
  body.epoch = config_.epoch;
  body.config_hash = config_hash_;
  if (end.next) body.next_config_hash = end.next->hash();
  body.epoch_end_seq = end.seq;
  body.seq = out.header.seq;
  body.history_hash = messages::extend_history(checkpoint_.history_hash, out.header);
  body.history_root = messages::history_root(frontier);
  body.state_root = out.header.state_root;
  body.reply_root = out.header.reply_root;
  body.reply_count = out.header.reply_count;
  body.time_us = out.header.time_us;
  body.sm_version = config_.sm_version;

  version_ = std::move(next);
  checkpoint_.seq = body.seq;
  checkpoint_.header = out.header;
  checkpoint_.history_before = out.history_before;
  checkpoint_.history_hash = body.history_hash;
  checkpoint_.time_us = body.time_us;
  checkpoint_.body = body;
  if (end.next) {
    config_ = std::move(*end.next);
    config_hash_ = body.next_config_hash;
  }
  return out;
}

Error Engine::store_error(messages::Seq seq) const {
  Error error{Errc::corrupt, "a record of the state does not decode"};
  if (auto fault = version_.take_fault()) error = std::move(*fault);
  error.message = "executing sequence number " + std::to_string(seq) + ": " + error.message;
  return error;
}

void Engine::rebase(tree::Version same_tree) {
  BFTMETA_ASSERT(same_tree.root_hash() == version_.root_hash());
  version_ = std::move(same_tree);
}

namespace {
template <class Record>
std::optional<Record> look_up(const tree::Reader& state, const Key& key, const char* type) {
  Bytes value;
  if (state.get(key, value) != tree::Found::value) return std::nullopt;
  auto record = schema::decode_record<Record>(value, type);
  if (!record) return std::nullopt;
  return std::move(*record);
}
}  // namespace

std::optional<SessionInfo> Engine::session(const Id16& id) const {
  const auto s = look_up<schema::Session>(version_, keys::session(id), "session");
  const auto c = counters();
  if (!s || !c || s->lease_expiry_us <= c->lease_time_us) return std::nullopt;
  return SessionInfo{s->principal, s->last_bundle, s->ack_upto};
}

// Only what would count now: anybody can sign READYs with keys of his own.
messages::Admission Engine::admit(const messages::Ready& ready) const {
  using messages::Admission;
  if (unconfirmed(ready.vote_key) == ready.proposal) return Admission::accept;
  const auto change = pending_change();
  const bool said = change && change->epoch_end_seq == 0 &&
                    schema::proposal_hash(*change) == ready.proposal &&
                    config::position_of(change->next, ready.vote_key);
  return said ? Admission::done : Admission::no_session;
}

std::optional<Hash> Engine::unconfirmed(const PublicKey& vote_key) const {
  const auto change = pending_change();
  if (!change || change->epoch_end_seq != 0) return std::nullopt;
  const auto member = config::position_of(change->next, vote_key);
  if (!member || (change->ready >> *member & 1) != 0) return std::nullopt;
  return schema::proposal_hash(*change);
}

// Bundles that are past their valid_until are accepted: a batch decides them.
messages::Admission Engine::admit(const messages::ParsedItem& item) const {
  using messages::Admission;
  if (const messages::Ready* ready = item.ready()) return admit(*ready);
  const messages::Bundle* bundle = item.bundle();
  if (bundle == nullptr) {
    if (!principal(item.client)) return Admission::no_session;
    return item.session_open()->valid_until_us > time_us() ? Admission::accept : Admission::expired;
  }
  const auto live = session(bundle->session_id);
  if (!live) {
    // The closing of a session, above all, is asked for again when the session is gone.
    const auto ended = tombstone(bundle->session_id);
    const bool done =
        ended && ended->principal == item.client && bundle->bundle_no <= ended->last_bundle;
    return done ? Admission::done : Admission::no_session;
  }
  if (live->principal != item.client && !mutant(Mutant::session_owner_unchecked))
    return Admission::no_session;
  if (bundle->bundle_no <= live->last_bundle) return Admission::done;
  if (bundle->bundle_no > live->last_bundle + limits::kSessionWindow)
    return Admission::out_of_window;
  return Admission::accept;
}

std::optional<schema::Tombstone> Engine::tombstone(const Id16& id) const {
  return look_up<schema::Tombstone>(version_, keys::tombstone(id), "tombstone");
}

std::optional<schema::Principal> Engine::principal(const PublicKey& sign_key) const {
  return look_up<schema::Principal>(version_, keys::principal(sign_key), "principal");
}

std::optional<schema::Counters> Engine::counters() const {
  return look_up<schema::Counters>(version_, keys::counters(), "counters");
}

std::optional<schema::PendingChange> Engine::pending_change() const {
  return look_up<schema::PendingChange>(version_, keys::pending_change(), "pending change");
}

}  // namespace bftmeta::execution
