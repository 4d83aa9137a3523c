#include "model/execution.hpp"

#include <algorithm>

#include "tree/version.hpp"

namespace bftmeta::test {

namespace keys = schema::keys;
using schema::BundleOutcome;
using schema::BundleResult;
using schema::Code;

namespace {

constexpr std::uint64_t kSecond = 1'000'000;

Bytes answer(BundleOutcome outcome, Code code = Code::ok) {
  BundleResult r;
  r.outcome = outcome;
  r.code = code;
  return encode(r);
}

Bytes opened(const Id16& id) {
  BundleResult r;
  r.outcome = BundleOutcome::session_opened;
  r.session_id = id;
  return encode(r);
}

}  // namespace

ExecutionModel::ExecutionModel(const config::Genesis& genesis, const crypto::Verifier& verifier)
    : genesis_(genesis),
      verifier_(verifier),
      files_(genesis),
      history_hash_(messages::history_start(genesis.cluster_id())),
      time_us_(genesis.time_us) {
  for (const config::Client& c : genesis.clients) principals_[c.sign_key] = c.rules;
}

ExecutionModel::Step ExecutionModel::step(const messages::ParsedBatch& batch) {
  begin(batch);
  Step out;
  std::vector<Hash> replies;
  for (const messages::ParsedItem& item : batch.items) {
    const messages::Bundle* bundle = item.bundle();
    out.results.push_back(bundle != nullptr ? run(*bundle, item.digest)
                          : item.ready() ? answer(BundleOutcome::done, files_.ready(*item.ready()))
                                         : open(*item.session_open()));
    replies.push_back(messages::reply_leaf(bundle != nullptr ? bundle->session_id : Id16{},
                                           bundle != nullptr ? bundle->bundle_no : 0, item.digest,
                                           messages::results_digest(out.results.back())));
  }
  files_.end_batch(seq_, time_us_);
  out.header.seq = seq_;
  out.header.batch_digest = batch.digest;
  out.header.time_us = time_us_;
  out.header.reply_root = messages::merkle_root(replies, messages::reply_node);
  out.header.reply_count = static_cast<std::uint32_t>(replies.size());
  std::vector<tree::Update> updates;
  for (auto& [key, value] : leaves()) updates.push_back({key, value});
  const auto version = tree::Version::empty().apply(updates);
  if (version)
    out.header.state_root = version->state_root(genesis_.cluster_id(), genesis_.config.sm_version);
  last_ = out.header;
  history_hash_ = messages::extend_history(history_hash_, out.header);
  return out;
}

// Time, and what is over with it.
void ExecutionModel::begin(const messages::ParsedBatch& batch) {
  ++seq_;
  if (last_) messages::append_history(frontier_, *last_);
  const std::uint64_t before = time_us_;
  time_us_ = before + 1;
  if (batch.batch.flags != messages::BatchFlags::null)
    time_us_ = std::max(time_us_, batch.batch.time_us);
  const std::uint64_t lease_step = std::min(time_us_ - before, 2 * kSecond);
  lease_time_us_ += lease_step;
  expire();
  std::size_t operations = 0;
  for (const messages::ParsedItem& item : batch.items)
    if (item.bundle() != nullptr) operations += item.bundle()->operations.size();
  files_.begin_batch(lease_step, operations);
}

void ExecutionModel::expire() {
  std::size_t left = 64;
  std::vector<std::pair<std::uint64_t, Id16>> leases;
  for (const auto& [id, s] : sessions_)
    if (s.lease_expiry_us <= lease_time_us_) leases.emplace_back(s.lease_expiry_us, id);
  std::ranges::sort(leases);
  for (std::size_t i = 0; i < leases.size() && left > 0; ++i, --left) evict(leases[i].second);

  std::vector<std::pair<std::uint64_t, Id16>> graves;
  for (const auto& [id, t] : tombstones_)
    if (t.expiry_us <= time_us_) graves.emplace_back(t.expiry_us, id);
  std::ranges::sort(graves);
  for (std::size_t i = 0; i < graves.size() && left > 0; ++i, --left)
    tombstones_.erase(graves[i].second);

  while (left > 0 && !opens_.empty() && opens_.begin()->first.first < time_us_) {
    opens_.erase(opens_.begin());
    --left;
  }
}

// A lease ends at the first multiple of 5 s that is at least 60 s away.
std::uint64_t ExecutionModel::lease_end() const {
  return (lease_time_us_ + 60 * kSecond + 5 * kSecond - 1) / (5 * kSecond) * (5 * kSecond);
}

Bytes ExecutionModel::open(const messages::SessionOpen& o) {
  const Hash digest = messages::open_digest(o);
  if (const auto it = opens_.find({o.valid_until_us, digest}); it != opens_.end())
    return opened(it->second.session_id);
  if (!principals_.contains(o.client))
    return answer(BundleOutcome::open_refused, Code::not_permitted);
  if (o.valid_until_us < time_us_) return answer(BundleOutcome::open_refused, Code::stale_handle);
  if (o.valid_until_us - time_us_ > 3600 * kSecond)
    return answer(BundleOutcome::open_refused, Code::invalid);
  const auto remembered = std::ranges::count_if(
      opens_, [&](const auto& open) { return open.second.principal == o.client; });
  if (remembered >= 4096) return answer(BundleOutcome::open_refused, Code::quota_exceeded);
  make_room(o.client);
  const Hash h = crypto::Hasher(tags::Domain::session_id).update(digest).update_u64(seq_).finish();
  Id16 id;
  std::copy_n(h.begin(), id.size(), id.begin());
  opens_[{o.valid_until_us, digest}] = {schema::kRecordFormat, o.client, id};
  schema::Session& s = sessions_[id];
  s.principal = o.client;
  s.open_seq = s.last_active_seq = seq_;
  s.lease_expiry_us = lease_end();
  stored_[id];
  return opened(id);
}

std::vector<Id16> ExecutionModel::sessions_of(const PublicKey& principal) const {
  std::vector<std::pair<std::uint64_t, Id16>> ranked;
  for (const auto& [id, s] : sessions_)
    if (s.principal == principal) ranked.emplace_back(s.last_active_seq, id);
  std::ranges::sort(ranked);
  std::vector<Id16> ids;
  for (const auto& r : ranked) ids.push_back(r.second);
  return ids;
}

void ExecutionModel::make_room(const PublicKey& principal) {
  if (const auto own = sessions_of(principal); own.size() >= 1024) evict(own.front());
  if (sessions_.size() < 65536) return;
  std::map<PublicKey, std::size_t> count;
  for (const auto& [id, s] : sessions_) ++count[s.principal];
  const auto most = std::ranges::max_element(count, {}, [](const auto& c) { return c.second; });
  evict(sessions_of(most->first).front());
}

void ExecutionModel::evict(const Id16& id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  files_.end_session(id);
  const schema::Session session = it->second;
  sessions_.erase(it);
  stored_.erase(id);
  bury(id, session);
}

void ExecutionModel::bury(const Id16& id, const schema::Session& session) {
  const auto oldest = [&](bool own_only) {
    std::optional<std::pair<std::uint64_t, Id16>> first;
    for (const auto& [grave, t] : tombstones_)
      if (!own_only || t.principal == session.principal)
        if (const std::pair at{t.expiry_us, grave}; !first || at < *first) first = at;
    return first;
  };
  const auto own = std::ranges::count_if(
      tombstones_, [&](const auto& t) { return t.second.principal == session.principal; });
  if (own >= 1024) tombstones_.erase(oldest(true)->second);
  if (tombstones_.size() >= 65536) tombstones_.erase(oldest(false)->second);
  tombstones_[id] = {schema::kRecordFormat, session.principal, session.last_bundle,
                     time_us_ + 86'400 * kSecond};
}

Bytes ExecutionModel::run(const messages::Bundle& b, const Hash& request_digest) {
  const auto it = sessions_.find(b.session_id);
  if (it == sessions_.end() || it->second.principal != b.client ||
      it->second.lease_expiry_us <= lease_time_us_)
    return answer(BundleOutcome::no_session);
  if (b.bundle_no <= it->second.last_bundle) return stored_answer(b, request_digest);
  if (b.bundle_no > it->second.last_bundle + 1) return answer(BundleOutcome::skipped);
  BundleResult result;
  removed_.clear();
  close_ = false;
  const bool expired = time_us_ > b.valid_until_us;
  if (expired) {
    result.outcome = BundleOutcome::expired;
  } else {
    if (!principals_.contains(b.client)) return answer(BundleOutcome::no_session);
    result = execute(b, principals_.at(b.client));
  }
  const Bytes encoded = encode(result);
  consume(b, request_digest, encoded, !expired);
  for (const PublicKey& key : removed_)
    for (const Id16& id : sessions_of(key)) evict(id);
  if (close_) evict(b.session_id);
  return encoded;
}

Bytes ExecutionModel::stored_answer(const messages::Bundle& b, const Hash& request_digest) const {
  const Stored& kept = stored_.at(b.session_id);
  const auto it = kept.find(b.bundle_no);
  if (it == kept.end()) return answer(BundleOutcome::result_gone);
  const bool same = it->second.request_digest == request_digest;
  if (same && it->second.complete) return it->second.results;
  BundleResult result;
  result.outcome = BundleOutcome::digest_only;
  if (it->second.complete) result = *decode<BundleResult>(it->second.results, "stored result");
  if (!same) result.code = Code::exists;
  return encode(result);
}

BundleResult ExecutionModel::execute(const messages::Bundle& b, const config::ClientRules& rules) {
  const bool all_or_nothing = (b.flags & 1) != 0;
  const std::optional<Model> files = all_or_nothing ? std::optional(files_) : std::nullopt;
  const auto principals = principals_;
  BundleResult result;
  for (const schema::Operation& op : b.operations) {
    result.results.push_back(
        files_.apply({time_us_, b.session_id, rules, history_hash_, &verifier_}, op));
    if (result.results.back().code != Code::ok) {
      if (!all_or_nothing) continue;
      const std::size_t failed = result.results.size() - 1;
      files_ = *files;
      principals_ = principals;
      removed_.clear();
      close_ = false;
      result.results.resize(b.operations.size());
      for (std::size_t i = 0; i < result.results.size(); ++i)
        if (i != failed) result.results[i] = {Code::rolled_back, std::nullopt};
      return result;
    }
    if (std::holds_alternative<schema::CloseSession>(op.body)) close_ = true;
    if (const auto* r = std::get_if<schema::RegisterClient>(&op.body)) {
      if (r->body.remove) {
        principals_.erase(r->body.client.sign_key);
        removed_.push_back(r->body.client.sign_key);
      } else {
        principals_[r->body.client.sign_key] = r->body.client.rules;
      }
    }
  }
  return result;
}

void ExecutionModel::consume(const messages::Bundle& b, const Hash& request_digest,
                             const Bytes& result, bool executed) {
  schema::Session& s = sessions_.at(b.session_id);
  Stored& kept = stored_.at(b.session_id);
  s.last_bundle = b.bundle_no;
  schema::StoredResult& stored = kept[b.bundle_no];
  stored.seq = seq_;
  stored.request_digest = request_digest;
  stored.results_digest = messages::results_digest(result);
  stored.complete = result.size() <= 4096;
  if (stored.complete) stored.results = result;
  s.ack_upto = std::max(s.ack_upto, std::min(b.ack_upto, b.bundle_no - 1));
  if (b.bundle_no > 8) s.ack_upto = std::max(s.ack_upto, b.bundle_no - 8);
  std::erase_if(kept, [&](const auto& k) { return k.first <= s.ack_upto; });
  if (!executed) return;
  s.last_active_seq = seq_;
  s.lease_expiry_us = lease_end();
}

LeafMap ExecutionModel::leaves() const {
  LeafMap out = files_.leaves();
  const schema::Marker marker;
  std::map<PublicKey, std::uint32_t> owned;
  for (const auto& [id, s] : sessions_) {
    out[keys::session(id)] = encode(s);
    out[keys::lease(s.lease_expiry_us, id)] = encode(marker);
    for (const auto& [number, stored] : stored_.at(id))
      out[keys::session_result(id, number)] = encode(stored);
    ++owned[s.principal];
  }
  for (const auto& [id, t] : tombstones_) {
    out[keys::tombstone(id)] = encode(t);
    out[keys::tombstone_expiry(t.expiry_us, id)] = encode(marker);
  }
  for (const auto& [at, open] : opens_) out[keys::open_digest(at.first, at.second)] = encode(open);
  if (frontier_.count != 0) out[keys::history_frontier()] = encode(frontier_);
  // The model of the namespace does not know who has sessions.
  auto counters = *schema::decode_record<schema::Counters>(out[keys::counters()], "counters");
  counters.sessions = static_cast<std::uint32_t>(sessions_.size());
  out[keys::counters()] = encode(counters);
  for (const auto& [key, count] : owned) {
    const auto at = out.find(keys::principal(key));
    if (at == out.end()) continue;
    auto principal = *schema::decode_record<schema::Principal>(at->second, "principal");
    principal.sessions = count;
    at->second = encode(principal);
  }
  return out;
}

}  // namespace bftmeta::test
