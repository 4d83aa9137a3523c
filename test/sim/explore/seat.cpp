#include "sim/explore/seat.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim::explore {

using consensus::Lsn;
using consensus::RecordKind;

namespace {

constexpr std::uint64_t kStartUs = 1'000'000;
// Between two events. Timers never decide anything here, so it only has to be long enough for the
// rates of a link, and short enough that nothing looks late when a tick is needed.
constexpr std::uint64_t kEventUs = 10'000;

}  // namespace

// Notes what is executed; everything else is the machine's.
class Seat::Recorder final : public consensus::StateMachine {
 public:
  explicit Recorder(Seat& seat) : seat_(seat) {}
  Seq executed_seq() const override { return seat_.machine().executed_seq(); }
  Hash history_hash() const override { return seat_.machine().history_hash(); }
  Result<consensus::Outcome> execute(const messages::ParsedBatch& batch) override {
    auto outcome = seat_.local_->machine.execute(batch);
    if (outcome && batch.batch.seq <= kMaxSeqs)
      seat_.local_->executed |= bit(0, batch.batch.seq, seat_.world_.number_of(batch.batch));
    return outcome;
  }
  consensus::Admission admit(const messages::ParsedItem& item) const override {
    return seat_.machine().admit(item);
  }
  std::uint64_t last_bundle(const Id16& session) const override {
    return seat_.machine().last_bundle(session);
  }

 private:
  Seat& seat_;
};

Seat::Seat(World& world, ReplicaId self)
    : world_(world), self_(self), recorder_(std::make_unique<Recorder>(*this)) {
  local_.emplace(world);
  local_->mono_us = kStartUs;
  archive_ = local_->log.archive(world.context());
}

void Seat::boot() { start({}); }

void Seat::load(const Local& local) {
  local_.emplace(local);
  durable_ = local_->appended;
  waiting_.clear();
  mail_.clear();
  affected_ = false;
  local_->mono_us += kEventUs;
}

Local Seat::save() {
  BFTMETA_ASSERT(waiting_.empty() || local_->core->halted());
  local_->digest = digest();
  return *local_;
}

void Seat::start(std::vector<consensus::Record> records) {
  consensus::Options options;
  options.self = self_;
  options.cluster_id = world_.cluster_id();
  options.config = world_.config();
  local_->core.emplace(options, world_.signer(self_), world_.verifier(), *recorder_, *archive_);
  local_->appended = durable_ = consensus::kRecoveredLsn;
  consensus::Recovered recovered;
  recovered.records = std::move(records);
  recovered.incarnation = local_->incarnation;
  store_be64(recovered.nonce.data(), local_->incarnation);
  consensus::Actions actions;
  local_->core->start(std::move(recovered), now(), actions);
  perform(actions);
}

void Seat::step(consensus::Event event) {
  consensus::Actions actions;
  local_->core->step(std::move(event), now(), actions);
  perform(actions);
}

void Seat::deliver(ReplicaId from, PeerMessage message) {
  step(consensus::event::Peer{from, std::move(message)});
  const auto holds = local_->core->holdings();
  const auto deferred = std::ranges::find_if(
      holds, [](const auto& h) { return std::string_view(h.what) == "deferred messages"; });
  if (deferred->count > 0) step(consensus::event::Tick{});  // a link that is looked at last
}

void Seat::submit(const messages::Item& item) { step(consensus::event::Client{item, 0}); }

void Seat::sync() {
  do {  // also when nothing is new: the end of an earlier sync may be heard of now
    local_->log.sync();
    durable_ = local_->appended;
    release();
    step(consensus::event::Durable{durable_});
  } while (durable_ < local_->appended);
}

std::uint64_t Local::forgotten() const {
  if (!core->active() || !core->is_primary() || core->view() >= kMaxViews) return 0;
  std::uint64_t of_view = 0;
  for (Seq n = 1; n <= kMaxSeqs; ++n) of_view |= bits(core->view(), n);
  return unlogged & of_view;
}

void Seat::cut_power(const std::vector<std::pair<ReplicaId, messages::HelloReply>>& answers) {
  if (world_.scope().forgetful)
    local_->log = MemoryLog();
  else
    local_->log.crash(Survival::none);
  local_->machine = ToyMachine(world_.cluster_id(), world_.config());
  waiting_.clear();
  ++local_->incarnation;
  std::vector<consensus::Record> records = local_->log.recover().value().records;
  local_->unlogged |= local_->said.proposals & ~logged_proposals(records);
  start(std::move(records));
  for (const auto& [from, answer] : answers) deliver(from, answer);
  sync();
}

void Seat::perform(consensus::Actions& actions) {
  for (consensus::Action& action : actions) {
    if (const auto* append = std::get_if<consensus::action::Append>(&action)) {
      local_->log.append(append->record);
      ++local_->appended;
      affected_ = true;
    } else if (auto* send = std::get_if<consensus::action::Send>(&action)) {
      waiting_.push_back(std::move(*send));
    } else if (const auto* halt = std::get_if<consensus::action::Halt>(&action)) {
      fault("stops: " + halt->error.message);
    } else if (const auto* fenced = std::get_if<consensus::action::Fenced>(&action)) {
      fault("has lost votes: " + fenced->why.substr(0, 90));
    } else if (const auto* accused = std::get_if<consensus::action::Accused>(&action)) {
      if (!world_.byzantine(accused->accusation.replica))
        fault("has evidence against a correct one: " + to_string(accused->accusation));
    }
  }
  release();
}

void Seat::release() {
  std::vector<consensus::action::Send> waiting;
  waiting.swap(waiting_);
  for (auto& send : waiting) {
    if (send.needs_lsn > durable_) {
      waiting_.push_back(std::move(send));
      continue;
    }
    std::visit([this](const auto& m) { say(m); }, send.message);
    mail_.emplace_back(send.to, std::move(send.message));
  }
}

void Seat::note(std::uint64_t& set, std::uint64_t bits) {
  affected_ = affected_ || (set & bits) != bits;
  set |= bits;
}

void Seat::fault(const std::string& what) {
  affected_ = true;
  if (local_->fault.empty()) local_->fault = "replica " + std::to_string(self_) + " " + what;
}

namespace {

bool in_scope(const messages::Proposal& p) { return p.view <= kMaxViews && p.seq <= kMaxSeqs; }

void insert(std::vector<std::uint32_t>& set, std::uint32_t number, bool& fresh) {
  const auto at = std::ranges::lower_bound(set, number);
  if (at != set.end() && *at == number) return;
  set.insert(at, number);
  fresh = true;
}

}  // namespace

// Nobody votes for what nobody made.
BatchNo Seat::number_of(const messages::Proposal& p) const {
  const auto d = world_.find_batch(p.seq, p.digest);
  BFTMETA_ASSERT(d.has_value());
  return *d;
}

// Of what it passes on only its own statements are new to the world.
std::uint64_t Seat::logged_proposals(const std::vector<consensus::Record>& records) const {
  std::uint64_t logged = 0;
  for (const consensus::Record& record : records) {
    if (record.kind != consensus::RecordKind::vote) continue;
    const auto vote = decode<consensus::VoteRecord>(record.payload, "vote record");
    if (vote && in_scope(vote->proposal))
      logged |= bit(vote->proposal.view, vote->proposal.seq, number_of(vote->proposal));
  }
  return logged;
}

void Seat::say(const messages::PrePrepare& m) {
  const messages::Proposal& p = m.proposal;
  if (world_.primary(p.view) == self_ && in_scope(p))
    note(local_->said.proposals, bit(p.view, p.seq, world_.number_of(m.batch)));
}

void Seat::say(const messages::Prepare& m) {
  const messages::Proposal& p = m.proposal;
  if (m.replica == self_ && in_scope(p))
    note(local_->said.prepares, bit(p.view, p.seq, number_of(p)));
}

void Seat::say(const messages::Commit& m) {
  const messages::Proposal& p = m.proposal;
  if (in_scope(p)) note(local_->said.commits, bit(p.view, p.seq, number_of(p)));
}

void Seat::say(const messages::RootShare& m) {
  if (m.replica == self_ && m.body.seq <= kMaxSeqs)
    note(local_->said.shares, 1ULL << world_.number_of(m.body));
}

void Seat::say(const messages::ViewChange& vc) {
  if (vc.replica != self_ || vc.new_view > kMaxViews) return;
  const auto valid =
      messages::verify_view_change(world_.verifier(), world_.context(), world_.config(), vc);
  if (!valid) fault("sends an invalid VIEW-CHANGE: " + valid.error().message);
  local_->view_changes.insert_or_assign(vc.new_view, vc);
  insert(local_->said.view_changes, world_.number_of(PeerMessage(vc)), affected_);
}

void Seat::say(const messages::NewView& nv) {
  if (world_.primary(nv.view) != self_ || nv.view > kMaxViews) return;
  insert(local_->said.new_views, world_.number_of(PeerMessage(nv)), affected_);
  for (const messages::Reproposal& p : nv.proposals)
    if (const auto d = p.seq <= kMaxSeqs ? world_.find_batch(p.seq, p.digest) : std::nullopt)
      note(local_->said.proposals, bit(nv.view, p.seq, *d));
}

namespace {

void add_numbers(Gatherer& all, const std::vector<std::uint32_t>& numbers) {
  all.add(numbers.size());
  for (const std::uint32_t n : numbers) all.add(n);
}

}  // namespace

// What tells two values apart: what was said, the log, the state that the core itself would write
// down, how much it holds of what, and what it answers when peers and clients ask.
Hash Seat::digest() const {
  Gatherer all;
  const consensus::Core& core = *local_->core;
  const Said& said = local_->said;
  for (const std::uint64_t set : {said.proposals, said.prepares, said.commits, said.shares,
                                  local_->executed, local_->forgotten()})
    all.add(set);
  add_numbers(all, said.view_changes);
  add_numbers(all, said.new_views);
  for (const std::uint64_t v :
       {local_->incarnation, core.view(), std::uint64_t{core.active()}, core.executed_seq(),
        std::uint64_t{core.standing() == consensus::Standing::voter}, std::uint64_t{core.halted()},
        std::uint64_t{core.evidence().accused()}, std::uint64_t{core.distrusted()}})
    all.add(v);
  all.add(local_->machine.history_hash());
  add_records(all, MemoryLog(local_->log).recover().value().records);
  add_records(all, core.control_state());
  for (const auto& holding : core.holdings()) all.add(holding.count);
  if (!core.halted()) ask(all);
  return all.finish();
}

// In an order that only tells apart what a start may tell apart.
void Seat::add_records(Gatherer& all, std::vector<consensus::Record> records) const {
  std::ranges::stable_sort(records, [](const auto& a, const auto& b) {
    return std::tie(a.kind, a.seq) < std::tie(b.kind, b.seq);
  });
  all.add(records.size());
  for (const consensus::Record& record : records) all.add(world_.identity(record));
}

// A copy is asked: by peers that start (if anybody ever does), by one that lacks everything, and by
// the clients.
void Seat::ask(Gatherer& all) const {
  consensus::Core copy = *local_->core;
  const consensus::Now later{local_->mono_us + 100 * kEventUs, World::kWallUs};
  consensus::Actions actions;
  for (ReplicaId r = 0; r < kReplicas && world_.scope().crashes > 0; ++r)
    if (r != self_) copy.step(consensus::event::Peer{r, messages::Hello{}}, later, actions);
  messages::PeerStatus status;
  status.view = status.entered = copy.view();
  copy.step(consensus::event::Peer{self_ == 0 ? 1U : 0U, status}, later, actions);
  for (std::size_t i = 0; i < 2; ++i)
    copy.step(consensus::event::Client{world_.item(i), 1}, later, actions);
  all.add(copy.pending());
  for (const consensus::Action& action : actions)
    if (const auto* send = std::get_if<consensus::action::Send>(&action);
        send != nullptr && !std::holds_alternative<messages::Prepare>(send->message))
      all.add(world_.identity(send->message));
}

}  // namespace bftmeta::sim::explore
