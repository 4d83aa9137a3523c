#include "sim/host.hpp"

#include "namespace/query.hpp"
#include "tree/recorder.hpp"
#include "verify/trust.hpp"

namespace bftmeta::sim {

using consensus::Lsn;
using consensus::RecordKind;
using messages::ReplicaId;
using messages::Seq;

namespace {
constexpr std::uint64_t kFlushEveryUs = 400'000;
constexpr std::size_t kTransferWrite = 16 * 1024;  // small, as the states of runs are
}  // namespace

// Shows every execution to the cluster's oracles.
class Host::RecordingMachine final : public consensus::StateMachine {
 public:
  RecordingMachine(Host& host, Machine& machine) : host_(host), machine_(machine) {}
  Seq executed_seq() const override { return machine_.executed_seq(); }
  Hash history_hash() const override { return machine_.history_hash(); }
  Result<consensus::Outcome> execute(const messages::ParsedBatch& batch) override {
    auto outcome = machine_.execute(batch);
    if (!outcome) return outcome;
    if (host_.diverges_ != Diverges::never)
      outcome->body.state_root[0] ^= static_cast<std::uint8_t>(host_.id() + 1);
    host_.callbacks_.executed(host_.id(), batch, *outcome);
    outcome->awaited = host_.awaited(outcome->body.seq);
    host_.busy_until_us_ =
        std::max(host_.busy_until_us_, host_.scheduler_.now()) + host_.execution_us_;
    return outcome;
  }
  consensus::Admission admit(const messages::ParsedItem& item) const override {
    return machine_.admit(item);
  }
  std::uint64_t last_bundle(const Id16& session) const override {
    return machine_.last_bundle(session);
  }
  std::optional<config::Config> next_config() const override { return machine_.next_config(); }
  std::optional<Hash> unconfirmed(const PublicKey& key) const override {
    return machine_.unconfirmed(key);
  }

 private:
  Host& host_;
  Machine& machine_;
};

Host::Host(HostSetup setup, Scheduler& scheduler, Random random, HostCallbacks callbacks)
    : setup_(std::move(setup)),
      scheduler_(scheduler),
      random_(random),
      callbacks_(std::move(callbacks)) {
  if (setup_.strategy) interceptor_ = setup_.strategy(setup_.options);
}

Host::~Host() = default;

consensus::Now Host::now() const {
  return {scheduler_.now(), setup_.clock.wall_us(scheduler_.now())};
}

void Host::start() {
  if (up() || gone_) return;
  if (!member()) return learn();
  auto recovered_log = setup_.log->recover();
  if (!recovered_log) {
    const Error& error = recovered_log.error();
    if (error.code != Errc::disk_full && error.code != Errc::io) {
      gone_ = true;
      return callbacks_.refused(id(), error);
    }
    scheduler_.after(kRestartUs, [this] { start(); });
    return;
  }
  callbacks_.started(id());
  ++life_;
  ++incarnation_;
  open_machine();
  source_ = std::make_unique<transfer::Source>(setup_.options.cluster_id);
  // Until this epoch has a certificate of its own, the last one's state is what there is.
  if (flushed_cert_ && flushed_cert_->body.epoch != epoch() &&
      machine_->executed_seq() == flushed_cert_->body.seq) {
    readable_ = flushed_cert_;
    served_ = transfer::Served{*machine_->transferable()->certified_state(*flushed_cert_),
                               *machine_->version(flushed_cert_->body.seq)};
  }
  recording_ = std::make_unique<RecordingMachine>(*this, *machine_);
  consensus::Recovered recovered;
  recovered.records = std::move(recovered_log->records);
  recovered.votes_lost = recovered_log->votes_lost;
  if (flushed_cert_ && flushed_cert_->body.epoch == epoch()) recovered.flushed_cert = flushed_cert_;
  recovered.flushed = machine_->executed_seq();
  recovered.incarnation = incarnation_;
  recovered.transferring = mixture_;
  store_be64(recovered.nonce.data(), life_);  // never repeated: as good as a random number
  archive_ = setup_.log->archive(context());
  consensus::Options options = setup_.options;
  options.transfers = machine_->transferable() != nullptr;
  core_ = std::make_unique<consensus::Core>(options, *setup_.signer, *setup_.verifier, *recording_,
                                            *archive_);
  setup_.log->set_state([this] { return core_->control_state(); });
  appended_ = durable_ = consensus::kRecoveredLsn;
  answered_ = machine_->executed_seq();
  last_flush_us_ = scheduler_.now();
  consensus::Actions actions;
  core_->start(std::move(recovered), now(), actions);
  perform(actions);
}

void Host::open_machine() {
  mixture_ = holds_mixture();
  if (!flushed_machine_)
    machine_ = setup_.fresh_machine();
  else
    machine_ =
        mixture_ ? flushed_machine_->transferable()->at_genesis() : flushed_machine_->reopen();
}

// As bftmetad finds out.
bool Host::holds_mixture() const {
  Transferable* const store = flushed_machine_ ? flushed_machine_->transferable() : nullptr;
  if (store == nullptr) return false;
  const auto snapshot = store->store()->snapshot();
  return snapshot && transfer::is_mixture((*snapshot)->meta());
}

void Host::wipe() {
  gone_ = false;
  setup_.log->inject(DiskFault::wipe);
  lose_state();
  incarnation_ = 0;
}

void Host::lose_state() {
  flushed_machine_.reset();
  flushed_cert_.reset();
  mixture_ = false;
  setup_.log->flushed(0);
}

void Host::forget_divergence() {
  if (diverges_ == Diverges::once) diverges_ = Diverges::never;
}

void Host::down() {
  ++life_;
  forget_divergence();
  core_.reset();
  transfer_.reset();
  transfer_floor_.reset();
  source_.reset();
  served_.reset();
  learnt_.reset();
  machine_.reset();
  waiting_.clear();
  inbox_.clear();
  asked_.clear();
  readable_.reset();
  shown_steps_.clear();
  syncing_ = flushing_ = false;
  space_ = true;
  timer_at_ = ask_at_ = busy_until_us_ = 0;
}

void Host::crash(Survival survival) {
  if (!running()) return;
  down();
  setup_.log->crash(survival);
}

void Host::kill() {
  if (!running()) return;
  down();
  setup_.log->stop();
}

// After a failed sync nothing may be assumed about the disk but what is read back from it.
void Host::abort() {
  kill();
  scheduler_.after(kRestartUs, [this] { start(); });
}

void Host::slow_disk(std::uint64_t extra_us, std::uint64_t until_us) {
  slow_disk_us_ = extra_us;
  slow_disk_until_us_ = until_us;
}

void Host::deliver(ReplicaId from, messages::PeerMessage message) {
  if (!running()) return;
  if (const auto* epochs = std::get_if<messages::Epochs>(&message)) return deliver_epochs(*epochs);
  if (auto* nodes = std::get_if<messages::NodesData>(&message); nodes != nullptr && !up()) {
    if (const auto transfer = transfer_) transfer->on(from, std::move(*nodes));
    return;
  }
  if (!up()) return;
  if (interceptor_ && !interceptor_->incoming(from, message, now())) return ask_interceptor();
  if (const auto* question = std::get_if<messages::FetchNodes>(&message)) {
    if (auto found =
            source_->answer(from, *question, served_ ? &*served_ : nullptr, scheduler_.now()))
      release({from, std::move(*found), 0});
  } else if (auto* nodes = std::get_if<messages::NodesData>(&message)) {
    if (const auto transfer = transfer_) transfer->on(from, std::move(*nodes));
  } else {
    // Who joins is a number of its own to the core: its position in the next epoch, behind n.
    const std::uint32_t n = setup_.options.config.n();
    step(consensus::event::Peer{from < n ? from : n + from, std::move(message)});
  }
}

void Host::deliver_client(std::uint32_t client, messages::ClientMessage message) {
  if (!up()) return;
  if (auto* submit = std::get_if<messages::Submit>(&message)) {
    if (interceptor_ && !interceptor_->submitted(submit->item)) return ask_interceptor();
    if (asked_.size() < kMaxAsked) asked_[submit->item.digest()] = client;
    step(consensus::event::Client{std::move(submit->item), client + 1});
  } else if (const auto* query = std::get_if<messages::Read>(&message)) {
    if (query->min_seq > core_->certified_seq()) step(consensus::event::Wanted{query->min_seq});
    if (up()) answer(client, read(client, *query));
  } else if (auto* fresh = std::get_if<messages::Fresh>(&message)) {
    step(consensus::event::Fresh{client + 1, std::move(*fresh)});
  }
}

void Host::step(consensus::Event event) {
  if (scheduler_.now() < busy_until_us_ || !inbox_.empty()) {
    if (inbox_.empty())
      scheduler_.at(busy_until_us_, [this, i = life_] {
        if (i == life_) drain();
      });
    if (inbox_.size() < kMaxInbox) inbox_.push_back(std::move(event));
    return;
  }
  consensus::Actions actions;
  core_->step(std::move(event), now(), actions);
  perform(actions);
}

// What came while the replica was busy, as far as it gets.
void Host::drain() {
  const std::uint64_t life = life_;
  std::deque<consensus::Event> events;
  events.swap(inbox_);
  while (!events.empty()) {
    consensus::Event event = std::move(events.front());
    events.pop_front();
    step(std::move(event));
    if (life != life_) return;
    if (scheduler_.now() >= busy_until_us_) continue;
    for (consensus::Event& rest : events) step(std::move(rest));  // waits again, in order
    return;
  }
}

void Host::perform(consensus::Actions& actions) {
  const std::uint64_t life = life_;
  for (consensus::Action& action : actions) {
    if (life != life_) return;  // an action ended the process
    if (auto* append = std::get_if<consensus::action::Append>(&action)) {
      callbacks_.logged(id(), append->record, now().wall_us);
      setup_.log->append(append->record);
      ++appended_;
    } else if (auto* send = std::get_if<consensus::action::Send>(&action)) {
      if (send->needs_lsn <= durable_)
        release(*send);
      else
        waiting_.push_back(std::move(*send));
    } else if (auto* cert = std::get_if<consensus::action::Certified>(&action)) {
      certified(cert->cert);
    } else if (auto* refuse = std::get_if<consensus::action::Refuse>(&action)) {
      asked_.erase(refuse->digest);
      answer(static_cast<std::uint32_t>(refuse->link - 1),
             messages::Refusal{refuse->digest, refuse->reason, 0});
    } else if (auto* done = std::get_if<consensus::action::AlreadyDone>(&action)) {
      answer_again(static_cast<std::uint32_t>(done->link - 1), *done->item);
    } else if (const auto* fresh = std::get_if<consensus::action::AnswerFresh>(&action)) {
      answer_fresh(*fresh);
    } else if (auto* fenced = std::get_if<consensus::action::Fenced>(&action)) {
      callbacks_.fenced(id(), fenced->why);
    } else if (const auto* against = std::get_if<consensus::action::Accused>(&action)) {
      callbacks_.accused(id(), against->accusation);
    } else if (const auto* wanted = std::get_if<consensus::action::Transfer>(&action)) {
      // Who missed the end of an epoch has no history to ask for.
      callbacks_.transfer_began(id(), wanted->floor,
                                mixture_ || machine_->executed_seq() < setup_.options.epoch_start);
      transfer_floor_ = wanted->floor;
      try_transfer();
    } else if (std::holds_alternative<consensus::action::Diverged>(action)) {
      callbacks_.diverged(id());
      readable_.reset();
      served_.reset();
      asked_.clear();
    } else if (const auto* ended = std::get_if<consensus::action::EpochEnded>(&action)) {
      return enter_epochs(shown_steps_.empty() ? std::vector{ended->step} : shown_steps_);
    } else if (auto* halt = std::get_if<consensus::action::Halt>(&action)) {
      callbacks_.halted(id(), halt->error);
    }
  }
  if (life != life_) return;
  maybe_flush();
  if (life != life_) return;
  begin_sync();
  arm_timer();
  ask_interceptor();
}

// What a strategy says unasked, after each event and whenever it wants to.
void Host::ask_interceptor() {
  if (!running() || !interceptor_) return;
  for (const auto& [to, message] : interceptor_->unasked(now()))
    callbacks_.send(id(), {to}, message);
  const std::uint64_t due = interceptor_->deadline();
  if (due == consensus::Interceptor::kNever || (ask_at_ > scheduler_.now() && ask_at_ <= due))
    return;
  const std::uint64_t at = ask_at_ = std::max(due, scheduler_.now() + 1);
  scheduler_.at(at, [this, life = life_, at] {
    if (life == life_ && ask_at_ == at) ask_interceptor();
  });
}

void Host::release(const consensus::action::Send& send) {
  std::vector<ReplicaId> to;
  if (send.to)
    to.push_back(*send.to);  // perhaps somebody who joins
  else
    for (ReplicaId r = 0; r < setup_.options.config.n(); ++r)
      if (r != id()) to.push_back(r);
  if (!interceptor_) return callbacks_.send(id(), to, send.message);
  for (const ReplicaId r : to) {
    std::vector<messages::PeerMessage> out{send.message};
    interceptor_->outgoing(r, out, now());
    for (const messages::PeerMessage& m : out) callbacks_.send(id(), {r}, m);
  }
}

// One group in flight; everything that is appended meanwhile shares the next sync.
void Host::begin_sync() {
  // Only messages are worth a sync; what nobody waits for stays in memory and is lost with it.
  if (syncing_ || !space_ || waiting_.empty()) return;
  syncing_ = true;
  std::uint64_t takes = random_.between(100, 700);
  if (scheduler_.now() < slow_disk_until_us_) takes += slow_disk_us_;
  scheduler_.after(takes, [this, i = life_, covered = appended_] { end_sync(i, covered); });
}

void Host::end_sync(std::uint64_t life, std::size_t covered) {
  if (life != life_ || !up()) return;
  // Records that came during the sync are not covered, but the device may keep them: syncing more
  // than was promised is allowed.
  const Synced synced = setup_.log->sync();
  if (synced == Synced::failed) return abort();
  syncing_ = false;
  if (synced == Synced::no_space) return note_space(false);
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
  if (life == life_) note_space(true);
}

// Without room for records the replica stops voting and goes on serving reads; it looks again and
// again, and goes on by itself.
void Host::note_space(bool available) {
  if (!available)
    scheduler_.after(kSpaceRetryUs,
                     [this, i = life_, covered = appended_] { end_sync(i, covered); });
  if (space_ == available) return;
  space_ = available;
  step(consensus::event::Space{available});
}

void Host::arm_timer() {
  if (!up()) return;
  const std::uint64_t due = std::max({core_->deadline(), scheduler_.now() + 1, busy_until_us_});
  if (timer_at_ > scheduler_.now() && timer_at_ <= due) return;
  timer_at_ = due;
  const std::uint64_t life = life_;
  scheduler_.at(due, [this, life, due] {
    if (life != life_ || !up() || timer_at_ != due) return;
    timer_at_ = 0;
    if (interceptor_ && !interceptor_->tick(now())) return arm_timer();
    step(consensus::event::Tick{});
    if (life == life_) arm_timer();  // also when the tick has to wait
  });
}

void Host::certified(const messages::RootCert& cert) {
  const Seq seq = cert.body.seq;
  if (const tree::Version* version = machine_->version(seq)) {
    readable_ = cert;
    if (auto state = machine_->transferable()->certified_state(cert))
      served_ = transfer::Served{std::move(*state), *version};
  }
  for (; answered_ < std::min(seq, machine_->executed_seq()); ++answered_) {
    const auto outcomes = machine_->outcomes(answered_ + 1);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      callbacks_.certified(id(), outcomes[i]);
      const auto asked = asked_.find(outcomes[i].request_digest);
      if (asked == asked_.end()) continue;
      const std::uint32_t client = asked->second;
      if (auto reply = machine_->reply(answered_ + 1, i, cert)) answer(client, std::move(*reply));
      if (outcomes[i].final) asked_.erase(asked);
    }
  }
}

// Not while actions are performed: records of what the machine has executed may still be among
// them.
void Host::maybe_flush() {
  const auto& cert = core_->certificate();
  if (!flushes_ || flushing_ || core_->transferring() || !cert ||
      machine_->executed_seq() != cert->body.seq ||
      (flushed_cert_ && flushed_cert_->body.seq == cert->body.seq) ||
      (scheduler_.now() - last_flush_us_ < kFlushEveryUs && !core_->epoch_over()))
    return;
  begin_flush(*cert);
}

// The log comes first: what the page store holds must not be unknown to it after a power cut. Only
// on a full disk it does not: the flush may be what lets segments go.
void Host::begin_flush(const messages::RootCert& cert) {
  last_flush_us_ = scheduler_.now();
  if (space_ && setup_.log->sync() == Synced::failed) return abort();
  flushing_ = true;
  machine_->begin_flush();
  scheduler_.after(random_.between(500, 20'000), [this, i = life_, cert] { end_flush(i, cert); });
}

void Host::end_flush(std::uint64_t life, const messages::RootCert& cert) {
  if (life != life_ || !up()) return;
  flushing_ = false;
  flushed_machine_ = machine_->finish_flush();
  flushed_cert_ = cert;
  setup_.log->flushed(cert.body.seq);
  try_transfer();
  step(consensus::event::Flushed{cert.body.seq});
}

// ---- state transfer

// One writer of the store at a time.
void Host::try_transfer() {
  if (!transfer_floor_ || flushing_) return;
  transfer_ =
      StateTransfer::start(transfer_options(*std::exchange(transfer_floor_, std::nullopt)),
                           *setup_.verifier, *machine_->transferable(), scheduler_, random_.fork(),
                           {[this](ReplicaId to, messages::FetchNodes question) {
                              release({to, std::move(question), 0});
                            },
                            [this](const std::optional<messages::CertifiedState>& complete) {
                              transfer_written(complete);
                            },
                            [this](const Error& error) { callbacks_.halted(id(), error); }});
}

transfer::Options Host::transfer_options(Seq floor) {
  transfer::Options options;
  options.self = id();
  options.cluster_id = setup_.options.cluster_id;
  options.config = setup_.options.config;
  if (!steps_.empty()) options.epoch_start = messages::plain(steps_.back().cert);
  options.floor = floor;
  options.first_id = random_.next();
  options.write_bytes = kTransferWrite;
  return options;
}

// From here on the store is not what it was: a mixture, or the state that was fetched.
void Host::transfer_written(const std::optional<messages::CertifiedState>& complete) {
  mixture_ = !complete;
  if (mixture_) {
    flushed_machine_ = machine_->transferable()->at_genesis();
    flushed_cert_.reset();
    return;
  }
  ++transfers_;
  forget_divergence();
  const auto done = std::exchange(transfer_, nullptr);
  if (up()) callbacks_.transfer_ended(id(), *complete, done->version());
  machine_->transferable()->adopt(*complete, done->version());
  flushed_machine_ = machine_->reopen();
  flushed_cert_ = complete->cert;
  if (!up()) return learnt(*complete);
  answered_ = machine_->executed_seq();
  setup_.log->flushed(machine_->executed_seq());
  step(consensus::event::Transferred{*complete});
}

// ---- epochs

messages::Epochs Host::steps_from(std::uint64_t epoch) const {
  messages::Epochs answer;
  for (std::uint64_t e = epoch; e < steps_.size(); ++e) answer.steps.push_back(steps_[e]);
  return answer;
}

void Host::deliver_epochs(const messages::Epochs& epochs) {
  if (!running() || epochs.steps.empty() || stays(epochs.steps.back())) return;
  verify::TrustAnchor anchor{setup_.options.cluster_id, setup_.options.config};
  for (const messages::EpochStep& step : epochs.steps)
    if (!anchor.follow(*setup_.verifier, step)) return;
  if (!up()) return enter_epochs(epochs.steps);
  shown_steps_ = epochs.steps;
  step(consensus::event::EpochShown{shown_steps_.front()});
}

void Host::enter_epochs(std::vector<messages::EpochStep> steps) {
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) steps_.push_back(steps[i]);
  enter_epoch(steps.back());
}

bool Host::stays(const messages::EpochStep& newest) const {
  return setup_.lingers && up() && id() >= newest.next.n();
}

// As bftmetad does: what is in the log stays, and the process begins anew in the next epoch.
void Host::enter_epoch(const messages::EpochStep& step) {
  if (stays(step)) return;
  if (up() && setup_.log->sync() == Synced::failed) return abort();
  const bool was_member = member();
  steps_.push_back(step);
  down();
  setup_.log->stop();
  setup_.options.config = step.next;
  setup_.options.epoch_start = step.cert.body.seq;
  if (setup_.strategy) interceptor_ = setup_.strategy(setup_.options);
  callbacks_.epoch(id(), step);
  if (was_member && !member()) {
    gone_ = true;
    return;
  }
  scheduler_.after(1, [this, i = life_] {
    if (i == life_) start();
  });
}

// No member: it fetches the newest state again and again, and says what that asks of it.
void Host::learn() {
  constexpr std::uint64_t kRoundUs = 200'000;
  if (!running()) {
    ++life_;
    open_machine();
  }
  announce();
  if (!transfer_)
    transfer_ =
        StateTransfer::start(transfer_options(machine_->executed_seq() + 1), *setup_.verifier,
                             *machine_->transferable(), scheduler_, random_.fork(),
                             {[this](ReplicaId to, messages::FetchNodes question) {
                                release({to, std::move(question), 0});
                              },
                              [this](const std::optional<messages::CertifiedState>& complete) {
                                transfer_written(complete);
                              },
                              [this](const Error& error) { callbacks_.halted(id(), error); }});
  ask_interceptor();
  scheduler_.after(kRoundUs, [this, i = life_] {
    if (i == life_) learn();
  });
}

void Host::learnt(const messages::CertifiedState& state) {
  learnt_ = state;
  announce();
}

void Host::announce() {
  if (!learnt_) return;
  const messages::CertBody& body = learnt_->cert.body;
  const Transferable::Asked says = machine_->transferable()->asked_of(setup_.signer->public_key());
  if (says.ready)
    release({std::nullopt,
             messages::Forward{
                 messages::sign_ready(*setup_.signer, setup_.options.cluster_id, *says.ready)},
             0});
  if (says.end_share)
    release({std::nullopt, messages::sign_share(*setup_.signer, body, *says.end_share), 0});
}

// ---- clients

void Host::answer(std::uint32_t client, messages::ReplicaMessage message) {
  if (interceptor_ && !interceptor_->answer(message)) return;
  callbacks_.answer(id(), client, std::move(message));
}

bool Host::awaited(Seq seq) const {
  return std::ranges::any_of(machine_->outcomes(seq), [this](const Outcome& outcome) {
    return asked_.contains(outcome.request_digest);
  });
}

// From memory as long as the batch is there; later the client asks the state (protocol §4.2).
void Host::answer_again(std::uint32_t client, const messages::ParsedItem& item) {
  const auto& cert = core_->certificate();
  for (Seq seq = machine_->executed_seq(); seq > 0; --seq) {
    const auto outcomes = machine_->outcomes(seq);
    if (outcomes.empty() && seq + Machine::kKeptBatches < machine_->executed_seq()) break;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      if (outcomes[i].request_digest != item.digest || !outcomes[i].first_time) continue;
      if (!cert || seq > cert->body.seq) return;  // certified() will answer it
      if (auto reply = machine_->reply(seq, i, *cert)) return answer(client, std::move(*reply));
    }
  }
  answer(client, messages::Refusal{item.digest, messages::RefusalReason::already_done, 0});
}

void Host::answer_fresh(const consensus::action::AnswerFresh& action) {
  messages::FreshReply reply;
  reply.epoch = setup_.options.config.epoch;
  for (const consensus::HeldQuery& held : action.queries) {
    reply.nonce = held.query.nonce;
    reply.newest = messages::NothingCertified{};
    if (action.cert && action.cert->body.seq == held.query.known_cert)
      reply.newest = action.cert->body.digest();
    else if (action.cert)
      reply.newest = *action.cert;
    answer(static_cast<std::uint32_t>(held.link - 1), reply);
  }
}

messages::ReadReply Host::read(std::uint32_t client, const messages::Read& read) const {
  messages::ReadReply reply;
  reply.request_id = read.request_id;
  reply.status = messages::ReadStatus::too_old;
  const tree::Version* version = readable_ ? machine_->version(readable_->body.seq) : nullptr;
  if (version == nullptr) return reply;
  reply.seq = readable_->body.seq;
  if (reply.seq != read.known_cert) reply.cert = readable_;
  if (reply.seq < read.min_seq) return reply;
  const tree::Recorder recorder(*version);
  for (const schema::Query& query : read.queries)
    ns::evaluate(recorder, query, setup_.clients.at(client));
  if (auto proof = tree::prove(recorder)) {
    reply.status = messages::ReadStatus::ok;
    reply.proof = std::move(*proof);
  } else {
    reply.status = messages::ReadStatus::refused;
  }
  return reply;
}

}  // namespace bftmeta::sim
