#include "execution/sessions.hpp"

#include <limits>

#include "base/mutant.hpp"
#include "namespace/apply.hpp"
#include "schema/keys.hpp"

namespace bftmeta::execution {

namespace keys = schema::keys;

namespace {

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  return a > max - b ? max : a + b;
}

Id16 session_id_of(const Hash& open_digest, messages::Seq seq) {
  const Hash h =
      crypto::Hasher(tags::Domain::session_id).update(open_digest).update_u64(seq).finish();
  Id16 id;
  std::copy_n(h.begin(), id.size(), id.begin());
  return id;
}

schema::BundleResult opened(const Id16& id) {
  schema::BundleResult r;
  r.outcome = schema::BundleOutcome::session_opened;
  r.session_id = id;
  return r;
}

schema::BundleResult refused(schema::Code code) {
  schema::BundleResult r;
  r.outcome = schema::BundleOutcome::open_refused;
  r.code = code;
  return r;
}

// Visits every leaf of a table until one is defective.
template <class Visit>
Status each(const tree::Reader& state, const Key& table, const Visit& visit) {
  Status status;
  const bool known = state.scan(table, table.prefix_end(), [&](const Key& key, ByteView value) {
    status = visit(key, value);
    return status.has_value();
  });
  if (!status) return status;
  if (!known) return fail(Errc::corrupt, "execution: the session tables could not be read");
  return {};
}

}  // namespace

Result<SessionIndexes> load_indexes(const tree::Reader& state) {
  SessionIndexes indexes;
  BFTMETA_TRY(each(state, keys::sessions(), [&](const Key& key, ByteView value) -> Status {
    const Id16 id = keys::session_of(key);
    if (key != keys::session(id)) return {};  // a stored result
    BFTMETA_ASSIGN(const auto s, schema::decode_record<schema::Session>(value, "session"));
    indexes.sessions.add(s.principal, s.last_active_seq, id);
    return {};
  }));
  const Key tombstones = keys::tombstone_table();
  BFTMETA_TRY(each(state, tombstones, [&](const Key& key, ByteView value) -> Status {
    BFTMETA_ASSIGN(const auto t, schema::decode_record<schema::Tombstone>(value, "tombstone"));
    indexes.tombstones.add(t.principal, t.expiry_us, keys::session_of(key));
    return {};
  }));
  BFTMETA_TRY(each(state, keys::open_digests(), [&](const Key& key, ByteView value) -> Status {
    BFTMETA_ASSIGN(const auto r, schema::decode_record<schema::RememberedOpen>(value, "open"));
    indexes.opens.add(r.principal, keys::expiry_of(key), keys::digest_of_open(key));
    return {};
  }));
  return indexes;
}

std::uint64_t lease_expiry(std::uint64_t lease_time_us) {
  const std::uint64_t earliest = saturating_add(lease_time_us, limits::kLeaseUs);
  const std::uint64_t into = earliest % limits::kLeaseGranuleUs;
  return into == 0 ? earliest : saturating_add(earliest, limits::kLeaseGranuleUs - into);
}

void Sessions::expire() {
  std::size_t budget = limits::kMaxExpiriesPerBatch;
  const auto due = [&](const Key& from, const Key& to) {
    std::vector<Key> found = state_.keys_between(from, to, budget);
    budget -= found.size();
    return found;
  };
  const Key lease_end = keys::lease(saturating_add(clock_.lease_time_us, 1), Id16{});
  for (const Key& key : due(keys::leases(), lease_end)) evict(keys::session_of_index(key));

  const Key tombstone_end = keys::tombstone_expiry(saturating_add(clock_.time_us, 1), Id16{});
  for (const Key& key : due(keys::tombstone_expiries(), tombstone_end))
    exhume(keys::session_of_index(key));

  // A digest counts up to and including its valid_until.
  for (const Key& key : due(keys::open_digests(), keys::open_digest(clock_.time_us, Hash{})))
    forget_open(key);
}

std::optional<schema::Session> Sessions::find(const Id16& id) {
  auto session = state_.load<schema::Session>(keys::session(id), "session");
  if (session && session->lease_expiry_us <= clock_.lease_time_us) return std::nullopt;
  return session;
}

schema::BundleResult Sessions::open(const messages::SessionOpen& open, bool& first_time) {
  first_time = true;
  const Hash digest = messages::open_digest(open);
  const Key remembered_at = keys::open_digest(open.valid_until_us, digest);
  if (const auto r = state_.load<schema::RememberedOpen>(remembered_at, "open");
      r && !mutant(Mutant::open_not_remembered)) {
    first_time = false;
    return opened(r->session_id);
  }
  if (!state_.load<schema::Principal>(keys::principal(open.client), "principal"))
    return refused(schema::Code::not_permitted);
  if (open.valid_until_us < clock_.time_us) return refused(schema::Code::stale_handle);
  if (open.valid_until_us > saturating_add(clock_.time_us, limits::kMaxOpenValidityUs))
    return refused(schema::Code::invalid);
  if (indexes_.opens.of(open.client) >= limits::kMaxOpensPerPrincipal)
    return refused(schema::Code::quota_exceeded);

  make_room(open.client);
  const Id16 id = session_id_of(digest, clock_.seq);
  schema::Session session;
  session.principal = open.client;
  session.open_seq = session.last_active_seq = clock_.seq;
  session.lease_expiry_us = lease_expiry(clock_.lease_time_us);
  state_.store(keys::session(id), session);
  state_.mark(keys::lease(session.lease_expiry_us, id));
  state_.store(remembered_at, schema::RememberedOpen{schema::kRecordFormat, open.client, id});
  indexes_.sessions.add(open.client, session.last_active_seq, id);
  indexes_.opens.add(open.client, open.valid_until_us, digest);
  change_counts(open.client, 1);
  return opened(id);
}

void Sessions::consume(const Id16& id, schema::Session session, const messages::Bundle& bundle,
                       const schema::StoredResult& result, bool executed) {
  session.last_bundle = bundle.bundle_no;
  const std::uint64_t freed = session.ack_upto;
  session.ack_upto = std::max(freed, std::min(bundle.ack_upto, bundle.bundle_no - 1));
  if (bundle.bundle_no > limits::kSessionWindow)
    session.ack_upto = std::max(session.ack_upto, bundle.bundle_no - limits::kSessionWindow);
  for (std::uint64_t no = freed + 1; no <= session.ack_upto; ++no)
    state_.erase(keys::session_result(id, no));
  state_.store(keys::session_result(id, bundle.bundle_no), result);

  if (executed) {
    indexes_.sessions.remove(session.principal, session.last_active_seq, id);
    session.last_active_seq = clock_.seq;
    indexes_.sessions.add(session.principal, session.last_active_seq, id);
    const std::uint64_t expiry = lease_expiry(clock_.lease_time_us);
    if (expiry != session.lease_expiry_us) {
      state_.erase(keys::lease(session.lease_expiry_us, id));
      session.lease_expiry_us = expiry;
      state_.mark(keys::lease(expiry, id));
    }
  }
  state_.store(keys::session(id), session);
}

std::optional<schema::StoredResult> Sessions::result(const Id16& id, std::uint64_t bundle_no) {
  return state_.load<schema::StoredResult>(keys::session_result(id, bundle_no), "stored result");
}

bool Sessions::evict(const Id16& id) {
  const auto session = state_.load<schema::Session>(keys::session(id), "session");
  if (!session) return false;
  ns::release_holds(state_.overlay(), id);
  for (const Key& key : state_.keys_under(keys::session_prefix(id))) state_.erase(key);
  state_.erase(keys::lease(session->lease_expiry_us, id));
  indexes_.sessions.remove(session->principal, session->last_active_seq, id);
  change_counts(session->principal, -1);
  bury(id, *session);
  return true;
}

void Sessions::evict_all_of(const PublicKey& principal) {
  while (const auto first = indexes_.sessions.first_of(principal))
    if (!evict(first->second)) return;
}

void Sessions::bury(const Id16& id, const schema::Session& session) {
  OwnerIndex<Id16>& tombstones = indexes_.tombstones;
  if (tombstones.of(session.principal) >= limits::kMaxTombstonesPerPrincipal)
    exhume(tombstones.first_of(session.principal)->second);
  if (tombstones.total() >= limits::kMaxTombstones) {
    const Key table = keys::tombstone_expiries();
    for (const Key& key : state_.keys_between(table, *table.prefix_end(), 1))
      exhume(keys::session_of_index(key));
  }
  schema::Tombstone t;
  t.principal = session.principal;
  t.last_bundle = session.last_bundle;
  t.expiry_us = saturating_add(clock_.time_us, limits::kTombstoneUs);
  state_.store(keys::tombstone(id), t);
  state_.mark(keys::tombstone_expiry(t.expiry_us, id));
  tombstones.add(t.principal, t.expiry_us, id);
}

void Sessions::exhume(const Id16& id) {
  const auto t = state_.load<schema::Tombstone>(keys::tombstone(id), "tombstone");
  if (!t) return;
  state_.erase(keys::tombstone(id));
  state_.erase(keys::tombstone_expiry(t->expiry_us, id));
  indexes_.tombstones.remove(t->principal, t->expiry_us, id);
}

void Sessions::forget_open(const Key& key) {
  const auto r = state_.load<schema::RememberedOpen>(key, "open");
  if (!r) return;
  state_.erase(key);
  indexes_.opens.remove(r->principal, keys::expiry_of(key), keys::digest_of_open(key));
}

// Protocol §8.3(2): the idlest session of this principal or, when the whole table is full, of the
// principal that has most.
void Sessions::make_room(const PublicKey& principal) {
  if (indexes_.sessions.of(principal) >= limits::kMaxSessionsPerPrincipal)
    evict(indexes_.sessions.first_of(principal)->second);
  if (indexes_.sessions.total() >= limits::kMaxSessions)
    evict(indexes_.sessions.first_of(*indexes_.sessions.largest_owner())->second);
}

void Sessions::change_counts(const PublicKey& principal, int by) {
  // A principal that was removed and registered again within one bundle has lost its count.
  const auto changed = [by](std::uint32_t n) { return by > 0 ? n + 1 : n - std::min(n, 1U); };
  if (auto counters = state_.load<schema::Counters>(keys::counters(), "counters")) {
    counters->sessions = changed(counters->sessions);
    state_.store(keys::counters(), *counters);
  }
  const Key at = keys::principal(principal);
  if (auto record = state_.load<schema::Principal>(at, "principal")) {
    record->sessions = changed(record->sessions);
    state_.store(at, *record);
  }
}

}  // namespace bftmeta::execution
