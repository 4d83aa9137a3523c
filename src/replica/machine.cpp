#include "replica/machine.hpp"

namespace bftmeta::replica {

using consensus::Admission;

namespace {

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
  consensus::Outcome outcome{executed.header, executed.body, {}};
  for (const execution::ItemResult& item : executed.results)
    outcome.first_time.push_back(item.first_time);
  entries_.insert_or_assign(seq, Entry{std::move(executed), engine_.version()});
  if (entries_.size() > kKeptBatches) entries_.erase(entries_.begin());
  return outcome;
}

Admission Machine::admit(const messages::ParsedItem& item) const {
  const messages::Bundle* bundle = item.bundle();
  if (bundle == nullptr) {
    const messages::SessionOpen* open = item.session_open();
    if (!engine_.principal(item.client)) return Admission::no_session;
    return open->valid_until_us > engine_.time_us() ? Admission::accept : Admission::expired;
  }
  const auto session = engine_.session(bundle->session_id);
  if (!session || session->principal != item.client) return Admission::no_session;
  if (bundle->bundle_no <= session->last_bundle) return Admission::done;
  if (bundle->bundle_no > session->last_bundle + limits::kSessionWindow)
    return Admission::out_of_window;
  return Admission::accept;
}

std::uint64_t Machine::last_bundle(const Id16& session_id) const {
  const auto session = engine_.session(session_id);
  return session ? session->last_bundle : 0;
}

const Machine::Entry* Machine::entry(Seq seq) const {
  const auto it = entries_.find(seq);
  return it == entries_.end() ? nullptr : &it->second;
}

bool Machine::take_principals_changed() { return std::exchange(principals_changed_, false); }

}  // namespace bftmeta::replica
