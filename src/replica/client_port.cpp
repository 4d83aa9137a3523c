// What clients ask of this replica (protocol §2.1, §6.1). A peer is whom its CURVE key belongs to;
// an item is believed for its signature alone.
#include <unistd.h>

#include "replica/log.hpp"
#include "replica/replica.hpp"
#include "schema/keys.hpp"

namespace bftmeta::replica {

namespace {
constexpr const char* kVersion = "0.1.0";
}

void Replica::receive_client(const net::Route& from, ByteView bytes) {
  if (failure_) return;
  const auto show = [&](const crypto::Context& theirs) {
    client_port_->send(from,
                       messages::encode_frame(
                           theirs, messages::ReplicaMessage(membership_.steps_from(theirs.epoch))));
  };
  if (!of_this_epoch(bytes, show)) return;
  auto message = messages::decode_client_frame(context(), bytes);
  if (!message) {
    log_line(LogLevel::debug, "client " + short_hex(from.key) + ": " + message.error().message);
    return;
  }
  std::visit([&](auto& m) { on(from, std::move(m)); }, *message);
}

void Replica::on(const net::Route& from, messages::Submit m) {
  if (setup_.interceptor && !setup_.interceptor->submitted(m.item)) return;
  if (m.item.kind == messages::ItemKind::session_open) answers_->expect_open(m.item.digest(), from);
  keep(step(consensus::event::Client{std::move(m.item), links_.number(from)}));
}

void Replica::on(const net::Route& from, messages::Subscribe m) {
  const auto member = members_.find(from.key);
  const auto session = machine_->engine().session(m.session_id);
  // A session that is not known here yet (this replica lags) is taken on trust: replies prove
  // themselves and hold nothing that its own client may not see.
  if (member == members_.end() || (session && session->principal != member->second)) return;
  answers_->subscribe(m.session_id, from);
}

void Replica::on(const net::Route& from, messages::Read m) {
  messages::ReadReply refusal;
  refusal.request_id = m.request_id;
  refusal.status = messages::ReadStatus::refused;
  if (m.min_seq > core_->certified_seq()) keep(step(consensus::event::Wanted{m.min_seq}));
  const auto member = members_.find(from.key);  // a step may make a new table
  if (member == members_.end() || !reads_->ask(from, std::move(m), member->second))
    answer(from, std::move(refusal));
}

void Replica::on(const net::Route& from, const messages::StatusQuery& m) {
  messages::StatusReply s;
  s.request_id = m.request_id;
  s.replica = self_;
  s.pid = static_cast<std::uint64_t>(::getpid());
  s.view = core_->view();
  s.active = core_->active();
  s.executed_seq = core_->executed_seq();
  s.certified_seq = core_->certified_seq();
  s.durable_seq = flushed_seq_;
  s.uptime_us = static_cast<std::uint64_t>(net::steady_us() - started_us_);
  s.queued = core_->pending();
  s.view_changes = core_->view_changes();
  if (const auto counters = machine_->engine().counters()) s.inodes = counters->inodes;
  s.version = kVersion;
  s.condition = condition().substr(0, 512);
  s.blocks = block_keeper_->progress();
  s.transfer = transfer_progress();
  if (m.scrub_bytes_per_s != 0) scrub(m.scrub_bytes_per_s);
  const Scrubber::Progress scrub = scrubber_->progress();
  s.scrub_bytes_per_s = scrub.bytes_per_s;
  s.scrub_permille = scrub.permille;
  s.scrub_cycles = scrub.cycles;
  s.damage_found = scrub.found + log_damage_found_;
  s.damage_repaired = repairs_.count() + log_->damaged_gone();
  s.joining = heard_of_joining();
  answer(from, std::move(s));
}

// How long it is held back is the core's decision (protocol §6.3).
void Replica::on(const net::Route& from, messages::Fresh m) {
  keep(step(consensus::event::Fresh{links_.number(from), std::move(m)}));
}

void Replica::on(const net::Route& from, const messages::EvidenceQuery& m) {
  messages::EvidenceReply reply;
  reply.request_id = m.request_id;
  const std::size_t past = evidence_files_->past();
  reply.total = static_cast<std::uint32_t>(past + core_->evidence().size());
  if (m.index < past)
    reply.kept = evidence_files_->past_at(m.index);
  else if (const messages::Evidence* evidence = core_->evidence().at(m.index - past))
    reply.kept = {membership_.epoch(), *evidence};
  answer(from, std::move(reply));
}

void Replica::answer_fresh(const consensus::action::AnswerFresh& action) {
  messages::FreshReply reply;
  reply.epoch = context().epoch;
  for (const consensus::HeldQuery& held : action.queries) {
    const net::Route* to = links_.route(held.link);
    if (to == nullptr) continue;
    reply.nonce = held.query.nonce;
    reply.newest = messages::NothingCertified{};
    if (action.cert && action.cert->body.seq == held.query.known_cert)
      reply.newest = action.cert->body.digest();
    else if (action.cert)
      reply.newest = *action.cert;
    answer(*to, reply);
  }
}

// A link is known to be gone when its key is not registered any more, or when something could not
// be sent on it.
Status Replica::drop_dead_links() {
  const std::int64_t now_us = net::steady_us();
  if (now_us - swept_us_ < kSweepUs) return {};
  swept_us_ = now_us;
  note_doors();
  for (const std::uint64_t link :
       links_.sweep([this](const net::Route& r) { return client_port_->connected(r); }))
    BFTMETA_TRY(step(consensus::event::LinkClosed{link}));
  return {};
}

// The worst first: who does not vote is one of the f faults, whatever else is wrong.
std::string Replica::condition() const {
  for (const std::string& fault : {core_->standing_text(), space_fault_, read_fault_, flush_fault_,
                                   repairs_.alarm(net::steady_us())})
    if (!fault.empty()) return fault;
  if (const std::uint32_t accused = core_->evidence().accused() | evidence_files_->accused();
      accused != 0)
    return "holds evidence against replica " + messages::replica_list(accused) +
           "; see 'bftadm evidence list'";
  return "ok";
}

void Replica::answer(const net::Route& to, messages::ReplicaMessage message) {
  if (setup_.interceptor && !setup_.interceptor->answer(message)) return;
  client_port_->send(to, messages::encode_frame(context(), message));
}

// A bundle that was executed before: from memory if its batch is still here, else the client learns
// it from the session's record by a verified read.
void Replica::answer_again(const net::Route& to, const messages::ParsedItem& item) {
  const messages::Bundle* bundle = item.bundle();
  if (bundle == nullptr) return;
  answers_->subscribe(bundle->session_id, to);
  if (const auto place = answers_->find(bundle->session_id, bundle->bundle_no)) {
    if (answers_->to_come(*place)) return;
    if (auto reply = answers_->build(*place)) return answer(to, std::move(*reply));
  }
  answer(to, messages::Refusal{item.digest, messages::RefusalReason::already_done, 0});
}

// Who may connect, and as which principal: as the newest executed state says.
void Replica::refresh_members() {
  std::map<PublicKey, PublicKey> members;
  net::AllowList allowed;
  const Key prefix = schema::keys::principals();
  machine_->engine().version().scan(
      prefix, prefix.prefix_end(), [&](const Key& key, ByteView value) {
        const auto principal = schema::decode_record<schema::Principal>(value, "principal");
        if (!principal) return true;
        PublicKey sign_key{};
        std::copy_n(key.data() + prefix.size(), sign_key.size(), sign_key.begin());
        allowed[principal->link_key] = principal->name;
        members[principal->link_key] = sign_key;
        return true;
      });
  members_ = std::move(members);
  client_domain_->set_allowed(allowed);
  // Members read each other's blocks, and who is to be one theirs.
  std::set<PublicKey> replicas;
  const auto allow = [&](const config::Replica& r, const std::string& name) {
    allowed.emplace(r.link_key, name);
    replicas.insert(r.link_key);
  };
  for (const config::Replica& r : membership_.config().replicas)
    allow(r, "replica " + std::to_string(r.id));
  for (const auto& [number, r] : joining_) allow(r, "joining replica " + std::to_string(r.id));
  block_domain_->set_allowed(allowed);
  block_server_->set_members(std::move(replicas));
}

}  // namespace bftmeta::replica
