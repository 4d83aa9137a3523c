#include "replica/machine.hpp"

#include "schema/keys.hpp"

namespace bftmeta::replica {

namespace {

std::size_t bytes_of(const execution::Executed& executed) {
  std::size_t bytes = 0;
  for (const execution::ItemResult& r : executed.results)
    bytes += sizeof(r) + sizeof(Hash) + r.result.size();
  return bytes;
}

bool registers_clients(const messages::ParsedBatch& batch) {
  for (const messages::ParsedItem& item : batch.items) {
    const messages::Bundle* bundle = item.bundle();
    if (bundle == nullptr) continue;
    for (const schema::Operation& op : bundle->operations)
      if (std::holds_alternative<schema::RegisterClient>(op.body)) return true;
  }
  return false;
}

}  // namespace

Result<consensus::Outcome> Machine::execute(const messages::ParsedBatch& batch) {
  BFTMETA_ASSIGN(execution::Executed executed, engine_.execute(batch));
  principals_changed_ = principals_changed_ || registers_clients(batch);
  const Seq seq = executed.header.seq;
  consensus::Outcome outcome{executed.header, executed.body, {}, false};
  outcome.awaited = audience_ && audience_(executed.results);
  for (const execution::ItemResult& item : executed.results)
    outcome.first_time.push_back(item.first_time);
  const std::size_t bytes = bytes_of(executed);
  bytes_ += bytes;
  entries_.emplace(seq, Entry{std::move(executed), engine_.version(), bytes});
  forget_old();
  return outcome;
}

void Machine::forget_old() {
  while (entries_.size() > kKeptBatches || (bytes_ > kKeptBytes && entries_.size() > 1)) {
    const auto oldest = entries_.begin();
    if (oldest->second.version && entries_.size() <= kKeptBatches) return;  // not certified yet
    if (oldest->second.version) note_extents(oldest->second.executed.touched);
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
  }
}

std::optional<tree::Version> Machine::take_version(Seq seq) {
  std::optional<tree::Version> version;
  for (auto it = entries_.upper_bound(seq); it != entries_.begin();) {
    --it;
    if (!it->second.version) break;
    if (it->first == seq) version = std::move(it->second.version);
    it->second.version.reset();
    note_extents(it->second.executed.touched);
    it->second.executed.touched = {};
  }
  forget_old();
  return version;
}

void Machine::note_extents(const std::vector<Key>& touched) {
  for (const Key& key : touched) {
    if (!schema::keys::is_extent(key)) continue;
    if (extents_.keys.size() >= kMaxExtents)
      extents_.lost = true;
    else
      extents_.keys.push_back(key);
  }
}

std::uint64_t Machine::last_bundle(const Id16& session_id) const {
  const auto session = engine_.session(session_id);
  return session ? session->last_bundle : 0;
}

const Machine::Entry* Machine::entry(Seq seq) const {
  const auto it = entries_.find(seq);
  return it == entries_.end() ? nullptr : &it->second;
}

bool Machine::contradicts(const messages::RootCert& cert) const {
  if (cert.body.seq == executed_seq()) return cert.body != engine_.body();
  const Entry* found = entry(cert.body.seq);
  return found != nullptr && cert.body != found->executed.body;
}

std::optional<messages::CertifiedState> Machine::certified_state(
    const messages::RootCert& cert) const {
  if (contradicts(cert)) return std::nullopt;
  if (cert.body.seq == executed_seq())
    return execution::certified_state(engine_.checkpoint(), cert);
  const Entry* found = entry(cert.body.seq);
  if (found == nullptr) return std::nullopt;
  return messages::CertifiedState{cert, found->executed.header, found->executed.history_before};
}

void Machine::replace(execution::Engine engine) {
  engine_ = std::move(engine);
  forget();
  principals_changed_ = true;
}

void Machine::forget() {
  entries_.clear();
  bytes_ = 0;
  extents_ = {};
}

bool Machine::take_principals_changed() { return std::exchange(principals_changed_, false); }

}  // namespace bftmeta::replica
