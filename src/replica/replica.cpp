// The main loop and what the core's actions mean (architecture §3, §5).
#include "replica/replica.hpp"

#include <chrono>

#include "replica/divergence.hpp"
#include "replica/log.hpp"

namespace bftmeta::replica {

using consensus::Actions;
using messages::PeerMessage;
using messages::ReplicaId;
using messages::RootCert;
using messages::Seq;

namespace {

std::uint64_t wall_us() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

}  // namespace

consensus::Now Replica::now() const {
  return {static_cast<std::uint64_t>(net::steady_us()), wall_us()};
}

void Replica::stop() {
  stopping_ = true;
  poller_.waker()->wake();
}

Result<Replica::Ended> Replica::run() {
  let_in_left_out();
  while (!stopping_ && !next_epoch_ && leaves_us_ == 0) BFTMETA_TRY(turn());
  while (!stopping_ && leaves_us_ > net::steady_us()) {
    poller_.wait(std::chrono::milliseconds(20));
    receive();
    mesh_->flush();
    client_port_->flush();
  }
  BFTMETA_TRY(sync_log());
  if (!next_epoch_) return Ended::stopped;
  leave_epoch();
  return Ended::next_epoch;
}

Status Replica::turn() {
  const std::uint64_t mono = now().mono_us;
  std::uint64_t due = core_->deadline();
  if (receiver_) due = std::min(due, receiver_->deadline());
  if (setup_.interceptor) due = std::min(due, setup_.interceptor->deadline());
  poller_.wait(std::chrono::microseconds(due > mono ? due - mono : 0));
  receive();
  if (failure_) return tl::make_unexpected(std::move(*failure_));
  if (const consensus::Now at = now();
      at.mono_us >= core_->deadline() && (!setup_.interceptor || setup_.interceptor->tick(at)))
    BFTMETA_TRY(step(consensus::event::Tick{}));
  if (setup_.interceptor)
    for (const auto& [to, message] : setup_.interceptor->unasked(now()))
      mesh_->send(to, messages::encode_frame(context(), message));
  BFTMETA_TRY(background());
  BFTMETA_TRY(try_repair());
  BFTMETA_TRY(try_repair_log());
  BFTMETA_TRY(try_transfer());
  BFTMETA_TRY(drop_dead_links());
  mesh_->flush();  // what needs no disk leaves before the disk is waited for
  // Only messages are worth a sync: certificates and EXECUTED records ride along with the next.
  while (!waiting_.empty() && !failure_ && space_) BFTMETA_TRY(sync_log());
  client_port_->flush();
  mesh_->flush();
  if (failure_) return tl::make_unexpected(std::move(*failure_));
  return {};
}

void Replica::receive() {
  mesh_->receive([this](ReplicaId from, ByteView bytes) { receive_peer(from, bytes); });
  client_port_->receive(
      [this](const net::Route& from, ByteView bytes) { receive_client(from, bytes); });
}

void Replica::receive_peer(ReplicaId from, ByteView bytes) {
  if (failure_) return;
  const auto show = [&](const crypto::Context& theirs) { show_epochs(from, theirs); };
  if (!of_this_epoch(bytes, show) || from >= kFirstLeftOut) return;
  auto message = messages::decode_peer_frame(context(), bytes);
  if (!message) {
    log_line(LogLevel::warn, "peer " + std::to_string(from) + ": " + message.error().message);
    return;
  }
  if (setup_.interceptor && !setup_.interceptor->incoming(from, *message, now())) return;
  if (take_nodes(from, *message)) return;
  if (const auto* learning = std::get_if<messages::Learning>(&*message))
    return note_learning(from, *learning);
  if (const auto* epochs = std::get_if<messages::Epochs>(&*message)) return follow(from, *epochs);
  keep(step(consensus::event::Peer{from, std::move(*message)}));
}

void Replica::keep(Status status) {
  if (!status && !failure_) failure_ = std::move(status.error());
}

Status Replica::step(consensus::Event event) {
  Actions actions;
  core_->step(std::move(event), now(), actions);
  return perform(actions);
}

Status Replica::perform(Actions& actions) {
  for (consensus::Action& action : actions) {
    if (auto* append = std::get_if<consensus::action::Append>(&action)) {
      log_->append(storage::to_log(append->record));
      ++appended_;
    } else if (auto* send = std::get_if<consensus::action::Send>(&action)) {
      if (send->needs_lsn <= durable_)
        release(*send);
      else
        waiting_.push_back(std::move(*send));
    } else if (auto* cert = std::get_if<consensus::action::Certified>(&action)) {
      certified(cert->cert);
    } else if (auto* refuse = std::get_if<consensus::action::Refuse>(&action)) {
      if (const net::Route* to = links_.route(refuse->link))
        answer(*to, messages::Refusal{refuse->digest, refuse->reason, kRetryMs});
    } else if (auto* done = std::get_if<consensus::action::AlreadyDone>(&action)) {
      if (const net::Route* to = links_.route(done->link)) answer_again(*to, *done->item);
    } else if (const auto* fresh = std::get_if<consensus::action::AnswerFresh>(&action)) {
      answer_fresh(*fresh);
    } else if (auto* fenced = std::get_if<consensus::action::Fenced>(&action)) {
      log_line(LogLevel::error,
               "replica " + std::to_string(setup_.settings.id) + ": " + fenced->why);
    } else if (const auto* accused = std::get_if<consensus::action::Accused>(&action)) {
      evidence_files_->keep(*accused);
    } else if (const auto* wanted = std::get_if<consensus::action::Transfer>(&action)) {
      transfer_floor_ = wanted->floor;
      if (wanted->unreadable) BFTMETA_TRY(note_unreadable(*wanted->unreadable));
    } else if (const auto* diverged = std::get_if<consensus::action::Diverged>(&action)) {
      take_out_of_service(*diverged);
    } else if (const auto* ended = std::get_if<consensus::action::EpochEnded>(&action)) {
      epoch_ended_ = true;
      if (next_steps_.empty()) next_steps_ = {ended->step};
    } else if (auto* halt = std::get_if<consensus::action::Halt>(&action)) {
      return tl::make_unexpected(std::move(halt->error));
    }
  }
  return {};
}

// Nothing of what was computed wrongly is shown to anybody.
void Replica::take_out_of_service(const consensus::action::Diverged& diverged) {
  const Machine::Entry* entry = machine_->entry(diverged.own.seq);
  TouchedLeaves leaves;
  if (entry != nullptr && entry->version) leaves = {&entry->executed.touched, &*entry->version};
  keep_divergence(storage::posix_file_system(), directory_.path(), diverged, leaves);
  machine_->forget();
  if (reads_) reads_->withdraw();
  published_ = false;
  if (core_->out_of_service()) log_line(LogLevel::error, core_->standing_text());
}

void Replica::release(const consensus::action::Send& send) {
  if (next_epoch_ || leaves_us_ != 0) return;
  if (!setup_.interceptor) {
    const Bytes frame = messages::encode_frame(context(), send.message);
    if (send.to)
      mesh_->send(*send.to, frame);
    else
      mesh_->broadcast(frame);
    return;
  }
  if (send.to) return release_bent(*send.to, send.message);
  for (ReplicaId to = 0; to < membership_.config().n(); ++to) release_bent(to, send.message);
}

// As the strategy of a malicious replica wants it, to a member or to one that joins.
void Replica::release_bent(ReplicaId to, const PeerMessage& message) {
  if (to == self_) return;
  std::vector<PeerMessage> out{message};
  setup_.interceptor->outgoing(to, out, now());
  for (const PeerMessage& m : out) mesh_->send(to, messages::encode_frame(context(), m));
}

// One group, one sync; then everything whose records it covers may leave. A full disk only keeps
// messages waiting; any other error of the log ends the process.
Status Replica::sync_log() {
  const auto committed = log_->commit();
  if (log_->stopped()) return tl::make_unexpected(committed.error());
  durable_ = consensus::kRecoveredLsn + log_->durable();
  std::vector<consensus::action::Send> waiting;
  waiting.swap(waiting_);
  for (consensus::action::Send& send : waiting) {
    if (send.needs_lsn <= durable_)
      release(send);
    else
      waiting_.push_back(std::move(send));
  }
  if (core_->halted()) return {};
  BFTMETA_TRY(step(consensus::event::Durable{durable_}));
  return note_space(committed);
}

// Without room for records the replica stops voting and goes on serving reads; with room again it
// goes on by itself.
Status Replica::note_space(const Result<storage::Lsn>& committed) {
  if (!committed) space_retry_us_ = net::steady_us() + kSpaceRetryUs;
  if (committed.has_value() == space_) return {};
  space_ = committed.has_value();
  if (space_) {
    space_fault_.clear();
    log_line(LogLevel::warn, "there is room for the log again: this replica votes as before");
  } else {
    space_fault_ = "disk full, does not vote, serves reads at sequence number " +
                   std::to_string(core_->certified_seq()) + ": " + committed.error().message +
                   "; make room, it goes on by itself";
    log_line(LogLevel::error, space_fault_);
  }
  return step(consensus::event::Space{space_});
}

// ---- certificates, reads and flushes

// In one step a certificate may come first and its batch be executed then, with another result:
// Diverged follows, and nothing of that state is shown.
void Replica::certified(const RootCert& cert) {
  if (machine_->contradicts(cert)) return;
  answers_->certified(
      cert, [this](const net::Route& to, messages::Reply reply) { answer(to, std::move(reply)); });
  if (auto version = machine_->take_version(cert.body.seq)) {
    publish(cert, std::move(*version));
  } else if (!published_ && machine_->executed_seq() == cert.body.seq) {
    publish(cert, machine_->engine().version());
  }
  if (machine_->take_principals_changed()) refresh_members();
  expect_joining();
}

void Replica::publish(const RootCert& cert, tree::Version version) {
  auto state = machine_->certified_state(cert);
  if (!state) return;  // genesis, or not known any more
  published_ = true;
  published_seq_ = cert.body.seq;
  block_keeper_->publish(version, machine_->take_changed_extents());
  reads_->publish({std::move(*state), std::move(version)});
}

// Only a state whose certificate is known is materialised, and it must be the newest executed one:
// the write set is taken from the head of the tree (protocol §3.4). The log comes first: after a
// power cut, what is in LMDB and was executed must not be unknown to it. Only on a full disk it
// does not: the flush may be what lets segments go, and after a power cut peers ask others for
// history.
Status Replica::maybe_flush() {
  const auto& cert = core_->certificate();
  if (flusher_->busy() || receiver_ || core_->transferring() || !cert ||
      machine_->executed_seq() != cert->body.seq || cert->body.seq == flush_from_ ||
      !flush_due(*cert))
    return {};
  if (space_) BFTMETA_TRY(sync_log());
  if (machine_->executed_seq() != cert->body.seq) return {};
  flush_started_us_ = net::steady_us();
  flush_from_ = cert->body.seq;
  execution::Checkpoint checkpoint = machine_->engine().checkpoint();
  checkpoint.cert = cert;
  flusher_->start(
      {tree::begin_flush(machine_->engine().head()), encode(checkpoint), checkpoint.seq});
  return {};
}

bool Replica::flush_due(const RootCert& cert) const {
  const std::int64_t since = net::steady_us() - flush_started_us_;
  if (since >= std::int64_t{setup_.settings.flush_interval_ms} * 1000) return true;
  return flush_fault_.empty() && (core_->epoch_over() || core_->flush_wanted() ||
                                  cert.body.seq - flush_from_ >= setup_.settings.flush_batches);
}

// What other threads have finished.
Status Replica::background() {
  BFTMETA_TRY(enter_epoch());
  machine_->set_complete(block_keeper_->complete());
  if (!space_ && net::steady_us() >= space_retry_us_) BFTMETA_TRY(sync_log());
  for (ReadAnswer& a : reads_->take_answers()) answer(a.to, std::move(a.reply));
  for (NodesAnswer& a : reads_->take_nodes()) release({a.to, std::move(a.data), 0});
  if (auto fault = reads_->take_fault()) {
    if (fault->code != Errc::corrupt) read_fault_ = fault->message;  // else it is repaired
    log_line(LogLevel::error, fault->message);
  }
  auto done = flusher_->poll();
  if (!done) return maybe_flush();
  if (!*done) {
    flush_fault_ = "flush: " + done->error().message;
    log_line(LogLevel::error, flush_fault_);
    flush_from_ = flushed_seq_;  // again after the interval, also when nothing is executed
  } else {
    flush_fault_.clear();
  }
  if (!receiver_)  // 0: of a repair that was given up
    return *done && (*done)->seq != 0 ? flushed(std::move(**done)) : Status();
  transfer::Actions actions;  // none begins while another writes: it is its own
  if (*done)
    receiver_->written((*done)->set, (*done)->snapshot, now().mono_us, actions);
  else
    receiver_->not_written(now().mono_us, actions);
  return perform(actions);
}

// Readers of an idle replica would hold on to what is in the store now, or to what was rotten.
void Replica::republish() {
  if (const auto& cert = core_->certificate();
      cert && cert->body.seq == machine_->executed_seq() && published_)
    publish(*cert, machine_->engine().version());
}

Status Replica::flushed(FlushDone done) {
  machine_->engine().rebase(tree::rebase(machine_->engine().head(), done.set, done.snapshot));
  republish();
  flushed_seq_ = done.seq;
  log_->set_flushed(flushed_seq_);
  log_line(LogLevel::debug, "flushed sequence number " + std::to_string(flushed_seq_));
  return step(consensus::event::Flushed{flushed_seq_});
}

}  // namespace bftmeta::replica
