#include "sim/host.hpp"

namespace bftmeta::sim {

using consensus::Lsn;
using consensus::RecordKind;
using messages::ReplicaId;
using messages::Seq;

namespace {
constexpr std::uint64_t kFlushEveryUs = 400'000;
}

// Shows every execution to the cluster's oracles.
class Host::RecordingMachine final : public consensus::StateMachine {
 public:
  RecordingMachine(Host& host, Machine& machine) : host_(host), machine_(machine) {}
  Seq executed_seq() const override { return machine_.executed_seq(); }
  Hash history_hash() const override { return machine_.history_hash(); }
  Result<consensus::Outcome> execute(const messages::ParsedBatch& batch) override {
    auto outcome = machine_.execute(batch);
    if (outcome) host_.callbacks_.executed(host_.id(), *outcome);
    return outcome;
  }
  consensus::Admission admit(const messages::ParsedItem& item) const override {
    return machine_.admit(item);
  }
  std::uint64_t last_bundle(const Id16& session) const override {
    return machine_.last_bundle(session);
  }

 private:
  Host& host_;
  Machine& machine_;
};

Host::Host(HostSetup setup, Scheduler& scheduler, Random random, HostCallbacks callbacks)
    : setup_(std::move(setup)),
      scheduler_(scheduler),
      random_(random),
      callbacks_(std::move(callbacks)) {}

Host::~Host() = default;

consensus::Now Host::now() const {
  const std::uint64_t t = scheduler_.now();
  return {t, kWallStartUs + t + static_cast<std::uint64_t>(setup_.clock_offset_us)};
}

void Host::start() {
  ++incarnation_;
  machine_ = flushed_machine_ ? flushed_machine_->reopen() : setup_.fresh_machine();
  recording_ = std::make_unique<RecordingMachine>(*this, *machine_);
  consensus::Recovered recovered;
  recovered.records = setup_.log->recover();
  recovered.flushed_cert = flushed_cert_;
  recovered.flushed = machine_->executed_seq();
  // It never falls back, even if the disk is an old one: as good a nonce as a random number.
  recovered.incarnation = incarnation_;
  store_be64(recovered.nonce.data(), incarnation_);
  archive_ = setup_.log->archive({setup_.options.cluster_id, setup_.options.config.epoch});
  core_ = std::make_unique<consensus::Core>(setup_.options, *setup_.signer, *setup_.verifier,
                                            *recording_, *archive_);
  setup_.log->set_state([this] { return core_->control_state(); });
  appended_ = durable_ = consensus::kRecoveredLsn;
  syncing_ = false;
  timer_at_ = ask_at_ = 0;
  answered_ = machine_->executed_seq();
  last_flush_us_ = scheduler_.now();
  consensus::Actions actions;
  core_->start(std::move(recovered), now(), actions);
  perform(actions);
}

void Host::crash() {
  if (!up()) return;
  ++incarnation_;
  core_.reset();
  machine_.reset();
  waiting_.clear();
  setup_.log->crash(random_);
}

void Host::deliver(ReplicaId from, messages::PeerMessage message) {
  if (!up()) return;
  if (setup_.interceptor && !setup_.interceptor->incoming(from, message, now()))
    return ask_interceptor();
  step(consensus::event::Peer{from, std::move(message)});
}

void Host::submit(messages::Item item) {
  if (!up()) return;
  if (setup_.interceptor && !setup_.interceptor->submitted(item)) return ask_interceptor();
  step(consensus::event::Client{std::move(item), 0});
}

void Host::step(consensus::Event event) {
  consensus::Actions actions;
  core_->step(std::move(event), now(), actions);
  perform(actions);
}

void Host::perform(consensus::Actions& actions) {
  for (consensus::Action& action : actions) {
    if (auto* append = std::get_if<consensus::action::Append>(&action)) {
      setup_.log->append(append->record);
      ++appended_;
    } else if (auto* send = std::get_if<consensus::action::Send>(&action)) {
      if (send->needs_lsn <= durable_)
        release(*send);
      else
        waiting_.push_back(std::move(*send));
    } else if (auto* cert = std::get_if<consensus::action::Certified>(&action)) {
      certified(cert->cert);
    } else if (auto* fenced = std::get_if<consensus::action::Fenced>(&action)) {
      callbacks_.fenced(id(), fenced->why);
    } else if (auto* halt = std::get_if<consensus::action::Halt>(&action)) {
      callbacks_.halted(id(), halt->error);
    }
  }
  begin_sync();
  arm_timer();
  ask_interceptor();
}

// What a strategy says unasked, after each event and whenever it wants to.
void Host::ask_interceptor() {
  if (!up() || !setup_.interceptor) return;
  for (auto& [to, message] : setup_.interceptor->unasked(now()))
    callbacks_.send(id(), to, std::move(message));
  const std::uint64_t due = setup_.interceptor->deadline();
  if (due == consensus::Interceptor::kNever || (ask_at_ > scheduler_.now() && ask_at_ <= due))
    return;
  const std::uint64_t at = ask_at_ = std::max(due, scheduler_.now() + 1);
  const std::uint64_t incarnation = incarnation_;
  scheduler_.at(at, [this, incarnation, at] {
    if (incarnation == incarnation_ && ask_at_ == at) ask_interceptor();
  });
}

void Host::release(const consensus::action::Send& send) {
  for (ReplicaId to = 0; to < setup_.options.config.n(); ++to) {
    if (to == id() || (send.to && *send.to != to)) continue;
    std::vector<messages::PeerMessage> out{send.message};
    if (setup_.interceptor) setup_.interceptor->outgoing(to, out, now());
    for (messages::PeerMessage& m : out) callbacks_.send(id(), to, std::move(m));
  }
}

// One group in flight; everything that is appended meanwhile shares the next sync.
void Host::begin_sync() {
  // Only messages are worth a sync; what nobody waits for stays in memory and is lost with it.
  if (syncing_ || waiting_.empty()) return;
  syncing_ = true;
  const std::uint64_t incarnation = incarnation_;
  const std::size_t covered = appended_;
  scheduler_.after(random_.between(100, 700),
                   [this, incarnation, covered] { end_sync(incarnation, covered); });
}

void Host::end_sync(std::uint64_t incarnation, std::size_t covered) {
  if (incarnation != incarnation_ || !up()) return;
  // Records that came during the sync are not covered, but the device may keep them: syncing more
  // than was promised is allowed.
  if (!setup_.log->sync()) return crash();
  syncing_ = false;
  durable_ = covered;
  std::vector<consensus::action::Send> waiting;
  waiting.swap(waiting_);
  for (consensus::action::Send& send : waiting) {
    if (send.needs_lsn <= durable_)
      release(send);
    else
      waiting_.push_back(std::move(send));
  }
  step(consensus::event::Durable{durable_});
}

void Host::arm_timer() {
  if (!up()) return;
  const std::uint64_t due = std::max(core_->deadline(), scheduler_.now() + 1);
  if (timer_at_ > scheduler_.now() && timer_at_ <= due) return;
  timer_at_ = due;
  const std::uint64_t incarnation = incarnation_;
  scheduler_.at(due, [this, incarnation, due] {
    if (incarnation != incarnation_ || !up() || timer_at_ != due) return;
    timer_at_ = 0;
    if (setup_.interceptor && !setup_.interceptor->tick(now())) return arm_timer();
    step(consensus::event::Tick{});
  });
}

void Host::certified(const messages::RootCert& cert) {
  const Seq seq = cert.body.seq;
  for (; answered_ < std::min(seq, machine_->executed_seq()); ++answered_)
    for (const Outcome& o : machine_->outcomes(answered_ + 1))
      callbacks_.certified(id(), o, answered_ + 1);
  if (machine_->executed_seq() == seq && scheduler_.now() - last_flush_us_ >= kFlushEveryUs) {
    last_flush_us_ = scheduler_.now();
    if (!setup_.log->sync()) return crash();
    flushed_machine_ = machine_->flush();
    flushed_cert_ = cert;
    setup_.log->flushed(seq);
    const std::uint64_t incarnation = incarnation_;
    scheduler_.after(1, [this, incarnation, seq] {
      if (incarnation == incarnation_ && up()) step(consensus::event::Flushed{seq});
    });
  }
}

}  // namespace bftmeta::sim
