// The PBFT core as a pure state machine: step(event) -> actions. No clock, no I/O, no randomness,
// no threads; time comes in with each event. A driver (bftmetad or the simulator) delivers events,
// performs the actions, and must keep two promises: records reach the log in order, and a message
// leaves only when every record up to its needs_lsn is durable (protocol §3.1). Sources: Castro and
// Liskov, OSDI'99 and TOCS 20(4); docs/protocol.md names every difference. Thread-safety: one
// thread.
#pragma once

#include <deque>
#include <limits>
#include <set>

#include "base/mutant.hpp"
#include "consensus/early_proposals.hpp"
#include "consensus/evidence_book.hpp"
#include "consensus/held_queries.hpp"
#include "consensus/latency_estimate.hpp"
#include "consensus/link_budget.hpp"
#include "consensus/new_view.hpp"
#include "consensus/pending.hpp"
#include "consensus/records.hpp"
#include "consensus/signed_by_peers.hpp"
#include "consensus/throughput_floor.hpp"
#include "messages/frame.hpp"
#include "messages/transfer.hpp"

namespace bftmeta::consensus {

using messages::PeerMessage;
using messages::Reason;
// Position of a record in what this process appends. The first appended record has kRecoveredLsn +
// 1; kRecoveredLsn stands for everything that the log gave back at the start.
using Lsn = std::uint64_t;
constexpr Lsn kRecoveredLsn = 1;

// All in microseconds. Local policy: safety never depends on them (protocol §5.4).
struct Timing {
  std::uint64_t request_min =
      1'000'000;  // T_req = clamp(8 x commit latency, min, max) x 2^failed views
  std::uint64_t request_max = 8'000'000;
  std::uint64_t new_view = 1'000'000;  // T0
  std::uint64_t backoff_cap = 60'000'000;
  std::uint64_t status_busy = 50'000;
  std::uint64_t status_idle = 1'000'000;
  std::uint64_t lazy_certificate = 10'000;  // where nobody waits for it (certify.cpp)
};

struct Options {
  ReplicaId self = 0;
  Hash cluster_id{};
  config::Config config;
  Timing timing;
  std::uint32_t max_in_flight = 2;  // batches proposed and not executed (protocol §2.3)
  bool transfers = false;           // the driver fetches states (action::Transfer)
  // Of P-entries above the durable flush, encoded: every new segment of the log begins with them.
  // With more this replica gives no new votes until a flush, or a state that it fetches, lets go of
  // some.
  std::size_t max_prepared_bytes = ~std::size_t{0};
  Seq epoch_start = 0;  // last sequence number of the epoch before; 0 in the first
};

struct Now {
  std::uint64_t mono_us = 0;  // for timers
  std::uint64_t wall_us = 0;  // for agreed time only
};

// What the log and the page store gave back at start (consensus/recovery.cpp).
struct Recovered {
  std::vector<Record> records;                     // in log order
  std::optional<messages::RootCert> flushed_cert;  // stored with the page store's generation
  Seq flushed = 0;                                 // its sequence number: nothing below is needed
  bool votes_lost = false;                         // the log says so: fence
  // Of the store identity, from 1, durable before start(). 0: there is no store (a core that a test
  // starts from nothing), hence nothing that could have been forgotten.
  std::uint64_t incarnation = 0;
  Id16 nonce{};  // random, of this start: answers to HELLO of another one are not taken
  std::vector<messages::Evidence> evidence;  // as Accused gave it; what does not hold is left out
  // The page store holds a mixture: a state transfer was under way. The state machine is at genesis
  // then, and nothing is executed on it.
  bool transferring = false;
};

// Whether this replica may vote (consensus/hello.cpp; protocol §3.5, §3.6).
enum class Standing : std::uint8_t {
  asking,  // just started: its peers are asked what they hold of it; its state is frozen
  voter,
  fenced,  // it has lost votes: it executes, signs root shares, serves reads, and never votes
};

namespace event {
struct Peer {  // a message that came over the link of replica `from`
  ReplicaId from = 0;
  PeerMessage message;
};
struct Client {  // an item from a client link; `link` is the driver's token for answers
  messages::Item item;
  std::uint64_t link = 0;
};
struct Fresh {  // a query for the newest certificate from a client link
  std::uint64_t link = 0;
  messages::Fresh query;
};
struct LinkClosed {  // a client link is gone, and with it whoever waits there
  std::uint64_t link = 0;
};
struct Durable {  // every record up to lsn survives a power cut
  Lsn lsn = 0;
};
struct Flushed {  // the page store holds the state after seq, durably
  Seq seq = 0;
};
struct Wanted {  // somebody here waits for a certificate at or above seq
  Seq seq = 0;
};
struct Space {  // the log has no room for more; or has it again
  bool available = true;
};
struct Transferred {  // the page store holds this state, durably, and the state machine is there
  messages::CertifiedState state;  // verified
};
struct Damaged {};           // a part of the page store is lost that nobody serves any more
struct EpochShown {          // a peer has shown the end of this epoch, in one step to the next
  messages::EpochStep step;  // verified
};
struct Tick {};
}  // namespace event
using Event = std::variant<event::Peer, event::Client, event::Fresh, event::LinkClosed,
                           event::Durable, event::Flushed, event::Wanted, event::Space,
                           event::Transferred, event::Damaged, event::EpochShown, event::Tick>;

namespace action {
struct Append {
  Record record;
};
struct Send {
  std::optional<ReplicaId> to;  // nullopt: every other replica
  PeerMessage message;
  Lsn needs_lsn = 0;
};
struct Certified {  // the newest root certificate is new, or was reached by the own execution
  messages::RootCert cert;
};
struct Refuse {  // an item was not queued
  std::uint64_t link = 0;
  Hash digest{};
  messages::RefusalReason reason = messages::RefusalReason::busy;
};
struct AlreadyDone {  // an item that was executed before: answer from the state
  std::uint64_t link = 0;
  std::shared_ptr<const messages::ParsedItem> item;
};
struct AnswerFresh {  // to all of them now: the newest certificate, nullopt for genesis
  std::vector<HeldQuery> queries;
  std::optional<messages::RootCert> cert;
};
struct Fenced {     // this replica votes no more; at each start of a fenced one, too
  std::string why;  // one line that says what to do
};
struct Accused {  // evidence against a member is new here: to be kept
  messages::Accusation accusation;
  messages::Evidence evidence;
};
// History does not lead on from here: a certified state at or above `floor` has to be fetched
// (src/transfer). Nothing is executed until event::Transferred; there is no way back, and no second
// one before.
struct Transfer {
  Seq floor = 0;
  // The state machine could not execute: its page store cannot be read.
  std::optional<Error> unreadable = std::nullopt;
};
// The own result of an agreed batch is not the agreed one (protocol §4.5): what whoever looks for
// the cause will want. Nothing of the state machine is to be shown to anybody from here on, until
// event::Transferred. Where the driver fetches no states, a Halt follows.
struct Diverged {
  messages::CertBody own;
  messages::BatchHeader header;  // the own one
  std::shared_ptr<const messages::ParsedBatch> batch;
  // What it contradicts: a certificate of this seq, W valid and equal shares of it, or the header
  // that a certified history or the own log gives to it. At least one is there.
  std::optional<messages::RootCert> cert;
  std::vector<messages::RootShare> shares;
  std::optional<messages::BatchHeader> agreed_header;
  // Up to here the own history is the certified one: the first wrong batch lies above.
  Seq agreed_upto = 0;
};
// The epoch of this core is over: what follows is of the next configuration, for which the driver
// makes another core, unless this replica is no member of it (protocol §9.2). This one goes on
// answering. Whatever it has executed of the epoch is in the page store, unless it leaves.
struct EpochEnded {
  messages::EpochStep step;
};
struct Halt {  // this replica must stop: a broken invariant or divergence (protocol §4.5)
  Error error;
};
}  // namespace action
using Action =
    std::variant<action::Append, action::Send, action::Certified, action::Refuse,
                 action::AlreadyDone, action::AnswerFresh, action::Fenced, action::Accused,
                 action::Transfer, action::Diverged, action::EpochEnded, action::Halt>;
using Actions = std::vector<Action>;

class Core {
 public:
  // While a state is fetched, so many of the certified batches are kept: the others' history has
  // what else is missing when it is there.
  static constexpr Seq kKeptInTransfer = 4 * limits::kWindow;

  Core(Options options, const crypto::Signer& signer, const crypto::Verifier& verifier,
       StateMachine& machine, const Archive& archive);

  // Once, before any step: replays the log, re-executes, resumes or leaves the persisted view.
  void start(Recovered recovered, Now now, Actions& out);
  void step(Event event, Now now, Actions& out);

  // When the next Tick is due (monotonic).
  std::uint64_t deadline() const;

  // Everything that a fresh log segment must begin with (protocol §3.3, state group).
  std::vector<Record> control_state() const;

  // P-entries take half of what they may: it is time for a flush.
  bool flush_wanted() const { return prepared_bytes_ > max_prepared_bytes_ / 2; }

  // ---- what a driver shows and tests check
  View view() const { return view_; }
  bool active() const { return active_; }
  bool is_primary() const { return active_ && primary(view_) == self_; }
  ReplicaId primary(View view) const { return config_.primary(view); }
  Seq executed_seq() const { return machine_.executed_seq(); }
  Seq certified_seq() const { return cert_ ? cert_->body.seq : epoch_start_; }
  const std::optional<messages::RootCert>& certificate() const { return cert_; }
  std::size_t pending() const { return pending_.size(); }
  std::uint64_t view_changes() const { return view_changes_done_; }
  bool halted() const { return halted_; }
  // The last sequence number of this epoch; 0: none is scheduled, as far as this replica knows.
  Seq epoch_end() const { return epoch_end_; }
  bool epoch_over() const { return epoch_end_ != 0 && executed_seq() >= epoch_end_; }
  // Nobody needs votes of this epoch any more: who lacks something is given the certified history.
  bool epoch_settled() const { return epoch_over() && certified_seq() >= epoch_end_; }
  bool transferring() const { return transferring_; }
  const EvidenceBook& evidence() const { return evidence_; }
  // Bitmap of the peers that brought a bad signature.
  std::uint32_t distrusted() const { return budget_.distrusted(); }
  Standing standing() const { return standing_; }
  // No message of agreement or view change, and no answer that counts as one of a correct member,
  // is given while this is false.
  bool may_vote() const { return standing_ == Standing::voter && space_ && !out_of_service(); }
  // Its state has diverged: it does not vote, sign or answer before it is repaired, or not at all.
  bool out_of_service() const { return diverged_ && diverged_->out_of_service(); }
  bool diverged_again() const { return diverged_ && diverged_->again; }
  // Why it does not vote, in one line; empty for a voter.
  std::string standing_text() const;
  struct Holding {
    const char* what = "";
    std::size_t count = 0;
    std::size_t bound = 0;
  };
  std::vector<Holding> holdings() const;  // holdings.cpp

 private:
  // Executed batches that a certificate may be behind where nobody waits for it.
  static constexpr Seq kLazyBatches = 8;

  // One sequence number of the window. Votes are of the current view; what is committed stays.
  struct Slot {
    std::optional<messages::Proposal> proposal;  // accepted PRE-PREPARE of the current view
    Signature primary_signature{};
    std::shared_ptr<const messages::ParsedBatch> batch;  // body of `proposal` or of `committed`
    bool time_waived = false;  // own proposal, or it came with NEW-VIEW (protocol §2.5)
    bool verified = false;     // body is valid, client signatures hold
    bool voted = false;        // own PREPARE or PRE-PREPARE of this view was logged
    Lsn vote_lsn = 0;
    std::map<ReplicaId, messages::Prepare> prepares;  // verified, of this view, one per sender
    std::map<ReplicaId, messages::Proposal> commits;  // of this view, one per sender
    Lsn prepared_lsn = 0;         // the P-entry's record, once prepared in this view
    bool commit_durable = false;  // own COMMIT may be counted
    std::optional<Hash> committed;
    std::uint64_t since_us = 0;  // proposal age
    std::uint32_t shown_to = 0;  // bitmap: peers with another proposal that were shown this one
  };

  struct Peer {
    messages::PeerStatus status;
    bool heard = false;
    std::uint64_t answered_us = 0;   // last STATUS answer, at most one per status_busy
    std::uint64_t history_us = 0;    // last HISTORY answer
    std::uint64_t hello_us = 0;      // last answer to HELLO
    std::uint64_t incarnation = 0;   // newest start that was heard
    std::uint64_t heard_before = 0;  // ... before the one that asks now
    Id16 nonce{};                    // of that one
    std::uint64_t evidence_us = 0;   // last evidence offered
    bool forged_evidence = false;    // it sent evidence that does not hold
  };

  struct History {  // an executed batch that peers may still ask for
    messages::BatchHeader header;
    std::shared_ptr<const messages::ParsedBatch> batch;
  };

  // agreement.cpp
  void on(ReplicaId from, messages::PrePrepare m);
  void on(ReplicaId from, messages::Prepare m);
  void on(ReplicaId from, messages::Commit m);
  void on(ReplicaId from, messages::BatchData m);
  void on(ReplicaId from, messages::FetchBatch m);
  bool is_of_view(View view) const;
  bool accepts_votes(Seq seq) const;
  void attach_batch(Seq seq, std::shared_ptr<const messages::ParsedBatch> batch);
  bool has_room(Seq seq, std::size_t bytes) const;
  bool make_room(Seq seq, std::size_t bytes);
  std::size_t waiting_bytes() const;
  bool items_hold(const messages::ParsedBatch& batch);
  bool time_acceptable(const Slot& slot);
  void try_vote(Seq seq);
  void show_proposal(ReplicaId to, Slot& slot);
  void try_prepared(Seq seq);
  void try_committed(Seq seq);
  void advance(Seq seq);
  void try_execute();
  // A result of this batch that is known before it is executed here, and whose it is.
  struct KnownResult {
    messages::BatchHeader header;
    const char* contradiction = "";  // for the operator: what it means that the own one differs
    Seq signed_upto = 0;             // shares that an earlier start may have signed
  };
  std::optional<Work> execute(const std::shared_ptr<const messages::ParsedBatch>& batch,
                              const std::optional<KnownResult>& known = std::nullopt);
  std::optional<Work> apply(const std::shared_ptr<const messages::ParsedBatch>& batch,
                            const std::optional<KnownResult>& known = std::nullopt);
  void on_durable(Lsn lsn);

  // certify.cpp
  void on(ReplicaId from, messages::RootShare m);
  void on(ReplicaId from, messages::RootCert m);
  void try_certify();
  bool certificate_urgent() const;
  std::uint64_t certificate_due() const;
  void want(Seq seq);
  std::uint32_t certificate_quorum() const;
  bool certify_from_shares(Seq seq);
  enum class ShareCheck { holds, broken, later };  // later: its sender's budget is used up
  ShareCheck check_share(Seq seq, ReplicaId replica);
  std::vector<messages::RootShare> contradiction(Seq seq);
  void look_for_divergence();
  bool show_certificate();
  void adopt_cert(messages::RootCert cert);
  Lsn watermark_lsn(Seq seq) const;
  void diverge(action::Diverged diverged, Error error, Seq signed_upto);
  void forget_results_above(Seq agreed);
  bool may_sign_share(Seq seq) const;
  void repair_divergence();
  bool end_repair(Seq seq);
  void resume_service();
  void take_up_divergence();
  std::string divergence_text() const;
  bool body_agrees(const messages::CertBody& body);
  bool header_agrees(const messages::CertBody& body, const std::optional<KnownResult>& known);
  action::Diverged divergence(const messages::CertBody& own) const;
  void accuse_wrong_shares(const messages::RootCert& cert);

  // evidence.cpp
  void on(ReplicaId from, messages::Evidence m);
  void accuse(ReplicaId from, messages::Evidence evidence);
  void file(const messages::Accusation& accusation, messages::Evidence evidence);
  void leave_proven_view();
  void offer_evidence(ReplicaId to, const messages::PeerStatus& s);
  void recall_evidence(std::vector<messages::Evidence> evidence);

  // admission.cpp
  void on_client(messages::Item item, std::uint64_t link);
  void on(ReplicaId from, messages::Forward m);
  void admit(messages::Item item, std::uint64_t link, bool pass_on,
             std::optional<ReplicaId> forwarder);
  void forward_again();
  void try_propose();
  void propose(Seq seq);

  // view_change.cpp
  void on(ReplicaId from, messages::ViewChange m);
  void on(ReplicaId from, messages::NewView m);
  void on(ReplicaId from, messages::FetchViewChange m);
  void on(ReplicaId from, messages::FetchNewView m);
  void follow_primary();
  void try_join();
  void start_view_change(View view, Reason reason);
  void note_view_change(messages::ViewChange vc);
  const messages::ViewChange* find_view_change(const Hash& digest) const;
  void try_new_view();
  void try_enter();
  bool candidate_names(const Hash& digest) const;
  void reject_new_view(const messages::NewView& nv);
  void ask_for_view_changes();
  ReplicaId next_peer();
  void enter(messages::NewView nv, std::vector<messages::ViewChange> votes,
             const ReproposalPlan& plan);
  using Bodies = std::map<Seq, std::shared_ptr<const messages::ParsedBatch>>;
  Bodies reset_slots();
  void install_reproposals(const messages::NewView& nv, const Bodies& bodies);
  void requeue_lost_items(const Bodies& bodies);
  std::uint32_t replicas_at_or_above(View view) const;

  // suspicion.cpp
  struct Cause {  // what the own suspicion stands on
    Reason reason = Reason::none;
    Seq seq = 0;  // of proposal_timeout
    Hash item{};  // of request_timeout
  };
  void check_suspicion();
  bool cause_holds(const Cause& cause) const;
  Seq done_somewhere() const;
  // While a state is fetched, an item that seems to wait may have been executed long ago. What an
  // epoch has not ordered waits for the next one.
  bool knows_what_waits() const {
    return !epoch_over() && (!transferring_ || mutant(Mutant::unknown_requests_timed));
  }
  std::optional<Cause> find_cause() const;
  void observe_backlog();
  void suspect(Reason reason);
  void blame_primary(Reason reason);
  void count_suspects();
  std::uint64_t new_view_timeout() const;
  void arm_new_view_timer();
  void count_failed_view();
  std::uint64_t request_timeout() const;
  std::uint64_t backoff(std::uint64_t base, std::uint32_t steps) const;

  // fresh.cpp
  bool answers_fresh() const;
  void on_fresh(std::uint64_t link, messages::Fresh query);
  bool refuted(const messages::Proposal& p) const;
  Seq fresh_floor() const;
  Seq first_uncertified() const;
  void release_fresh();
  void pass_new_view();

  // catch_up.cpp
  void on(ReplicaId from, messages::FetchHistory m);
  void on(ReplicaId from, messages::HistoryData m);
  void on(ReplicaId from, messages::FetchPrepared m);
  void on(ReplicaId from, messages::PreparedData m);
  void ask_for_prepared();
  std::uint32_t rescue_quorum() const;
  void try_rescue();
  std::shared_ptr<const messages::ParsedBatch> find_body(Seq seq, const Hash& digest) const;
  Seq evidence_seq() const;
  std::optional<Hash> proven_history(Seq seq) const;
  void ask_for_history();
  messages::HistoryData history_above(Seq executed) const;

  // transfer.cpp
  void note_too_old(ReplicaId from);
  bool try_transfer();
  void begin_transfer(std::optional<Error> unreadable = std::nullopt);
  void on_transferred(messages::CertifiedState state);
  void follow_transfer();

  // epoch.cpp
  void on_joining(ReplicaId position, PeerMessage message);
  void note_epoch_end(const messages::CertBody& body);
  bool beyond_epoch(Seq seq) const { return epoch_end_ != 0 && seq > epoch_end_; }
  bool owes_progress() const;
  void note_progress();
  bool progress_late(std::uint64_t patience) const;
  void say_ready();
  bool hears_ready(ReplicaId position);
  void note_end_share(ReplicaId from, const messages::RootShare& share);
  void show_end_share();
  Lsn share_lsn(Seq seq) const;
  void try_end_epoch();
  void on_epoch_shown(messages::EpochStep step);
  void leave_shown_epoch();
  std::map<ReplicaId, Signature> joint_shares(const config::Config& next);
  void mark_epoch();

  // status.cpp
  void on(ReplicaId from, messages::PeerStatus m);
  messages::PeerStatus own_status() const;
  void send_status();
  void answer_status(ReplicaId to, const messages::PeerStatus& s);
  void answer_slot(ReplicaId to, const messages::SlotStatus& theirs, Seq seq, std::size_t& budget);
  bool outstanding() const;

  // recovery.cpp
  struct Replay;
  Status replay(const Recovered& recovered, Replay& r);
  bool re_execute(Replay& r);
  void resume(Replay& r);
  void restore_slot(const Replay& r, const VoteRecord& vote, bool voted);

  // hello.cpp
  void on(ReplicaId from, messages::Hello m);
  void on(ReplicaId from, messages::HelloReply m);
  void take_up_standing(const Recovered& recovered);
  void ask_peers();
  std::uint32_t heard() const;
  void try_begin_voting();
  std::optional<FenceRecord> lost_vote(ReplicaId from, const messages::HelloReply& m);
  bool knows_vote(const messages::Proposal& p) const;
  void fence(const FenceRecord& record);
  void on_space(bool available);
  bool frozen() const { return standing_ == Standing::asking || !space_; }
  bool hears(const PeerMessage& message) const;
  void frozen_tick();

  // storm.cpp
  void dispatch(event::Peer event);
  void deliver(ReplicaId from, PeerMessage& message);
  void look_at_deferred();
  bool may_check(ReplicaId from, std::uint64_t signatures);
  bool checked(ReplicaId from, bool holds);
  void answer(ReplicaId to, PeerMessage message, Lsn needs_lsn = 0);
  void repeat(ReplicaId to, PeerMessage message, Lsn needs_lsn = 0);

  // core.cpp
  void tick();
  void watch_view();
  void turn();  // level-triggered work after every event
  Lsn append(RecordKind kind, Seq seq, Bytes payload, std::optional<Hash> digest = std::nullopt);
  void send(ReplicaId to, PeerMessage message, Lsn needs_lsn = 0);
  void broadcast(PeerMessage message, Lsn needs_lsn = 0);
  void halt(Error error);
  Slot& slot(Seq seq) { return slots_[seq]; }
  Slot* find(Seq seq);
  const Slot* find(Seq seq) const;
  void log_body(const messages::ParsedBatch& batch);
  void keep_prepared(messages::PreparedCert entry);
  bool votes_fit() const { return prepared_bytes_ <= max_prepared_bytes_; }
  // What is certified comes as history or with a fetched state, and nothing waits for it.
  bool far_behind() const {
    return transferring_ || certified_seq() > executed_seq() + limits::kWindow;
  }
  Seq forgettable() const;
  void prune();
  void prune_history(Seq done);
  Seq in_flight() const;
  messages::EpochContext context() const {
    return {crypto::Context{cluster_id_, config_.epoch}, epoch_start_};
  }
  std::uint32_t quorum() const { return config_.quorum(); }

  // ---- fixed
  const ReplicaId self_;
  const Hash cluster_id_;
  const config::Config config_;
  const Timing timing_;
  const std::uint32_t max_in_flight_;
  const bool transfers_;
  const std::size_t max_prepared_bytes_;
  const Seq epoch_start_;
  const crypto::Signer& signer_;
  const crypto::Verifier& verifier_;
  StateMachine& machine_;
  const Archive& archive_;

  // ---- this step
  Now now_;
  Actions* out_ = nullptr;
  bool halted_ = false;

  // ---- log
  Lsn last_lsn_ = 0;
  Lsn durable_lsn_ = 0;
  std::set<Hash> logged_bodies_;  // digests above the durable flush

  // ---- view
  View view_ = 0;  // active, or the target while a view change is pending
  bool active_ = false;
  View entered_ = 0;  // highest view entered; equals view_ when active
  Lsn entered_lsn_ = 0;
  EnteredRecord entered_record_;
  Seq max_reproposed_ = 0;                               // max(base, max O) of the entered view
  std::map<Seq, messages::Reproposal> reproposals_;      // O of the entered view
  std::optional<messages::ViewChange> own_view_change_;  // newest
  std::map<ReplicaId, messages::ViewChange> view_change_of_;  // highest per sender, verified
  std::optional<messages::NewView> candidate_;  // NEW-VIEW whose VIEW-CHANGEs are being fetched
  std::map<Hash, messages::ViewChange> fetched_view_changes_;  // those that candidate_ names
  std::optional<messages::NewView> passed_new_view_;  // newest valid one of a view left below
  std::optional<Hash> rejected_new_view_;             // body digest of an invalid one of view_
  EarlyProposals early_;
  Reason suspicion_ = Reason::none;      // the own SUSPECT level
  std::optional<Cause> cause_;           // a timer behind it
  Reason view_fault_ = Reason::none;     // the primary provably misbehaved in this view
  std::uint64_t new_view_deadline_ = 0;  // 0: not armed
  std::uint32_t failed_views_ = 0;       // k of the exponential back-off
  ThroughputFloor floor_{config_.n()};
  std::uint32_t executed_in_view_ = 0;
  std::uint64_t view_changes_done_ = 0;

  // ---- agreement
  std::map<Seq, Slot> slots_;
  std::map<Seq, messages::PreparedCert> prepared_;  // P: highest view per seq, above the flush
  std::size_t prepared_bytes_ = 0;
  Seq next_seq_ = 1;  // the primary's next proposal
  Pending pending_;
  LatencyEstimate commit_latency_;   // from the proposal to its execution
  LatencyEstimate request_latency_;  // of items, from being first in line to their execution

  // ---- certificates
  std::optional<messages::RootCert> cert_;                          // newest known
  std::map<Seq, std::map<ReplicaId, messages::RootShare>> shares_;  // sender == share.replica
  std::map<Seq, std::uint32_t> verified_shares_;                    // bitmap per seq
  std::map<Seq, messages::CertBody> own_bodies_;                    // executed, above certified
  std::pair<Seq, std::uint64_t> contradicted_{0, 0};  // own body that W shares differ from, since
  std::map<Seq, History> history_;
  std::size_t history_bytes_ = 0;
  std::map<Seq, messages::RootCert> recent_certs_;
  Lsn cert_lsn_ = 0;                             // record of cert_
  Seq wanted_ = 0;                               // somebody waits for a certificate at or above
  std::uint64_t shares_tried_us_ = 0;            // last look at their signatures
  Seq durable_cert_ = 0;                         // a certificate at or above is durable
  std::pair<Lsn, Seq> next_durable_cert_{0, 0};  // first record behind it; lsn 0: none
  Seq flushed_ = 0;

  // ---- clients
  HeldQueries held_queries_;

  EvidenceBook evidence_;

  // ---- peers
  std::map<ReplicaId, Peer> peers_;
  LinkBudget budget_;
  std::map<ReplicaId, std::deque<PeerMessage>> deferred_;  // of distrusted links; none is empty
  std::uint64_t next_status_ = 0;
  std::optional<Seq>
      stuck_at_;  // executed_seq when the last STATUS round found this replica behind
  std::uint32_t stuck_rounds_ = 0;
  ReplicaId ask_next_ = 0;

  // ---- state transfer (transfer.cpp)
  bool transferring_ = false;
  bool fetching_ = false;  // the driver was told: one action::Transfer, one event::Transferred
  std::optional<messages::CertifiedState> transferred_;  // the state machine is there
  Seq too_old_at_ = 0;                                   // executed_seq when ...
  std::uint32_t too_old_ = 0;  // ... these (bitmap) had no history from there any more

  // ---- the end of the epoch (epoch.cpp)
  Seq epoch_end_ = 0;              // its last sequence number, once it is known
  std::uint64_t progress_us_ = 0;  // until when what was executed is enough progress
  struct EndShare {
    messages::RootShare share;
    std::uint64_t since_us = 0;
    bool plausible = true;  // its signature was not found to be wrong
  };
  // Of the last batch, by link: members, and from n on those who join, by position there.
  std::map<ReplicaId, EndShare> end_shares_;
  std::optional<std::pair<Hash, messages::Item>> ready_;  // the own one, of that configuration
  std::map<ReplicaId, std::uint64_t> ready_heard_us_;     // of who joins, by position there
  bool epoch_marked_ = false;                             // the log has this epoch's record
  Lsn end_lsn_ = kRecoveredLsn;  // of the record that the last batch was executed
  std::optional<messages::EpochStep> shown_end_;
  bool ended_ = false;

  // ---- certified batches without an executor (rescue.cpp)
  Seq lost_upto_ = 0;     // the log goes on from a state that the page store had once, up to here
  Seq rescue_first_ = 0;  // what was asked for; 0: nothing
  Seq rescue_last_ = 0;   // certified then: what the answers speak about
  std::map<ReplicaId, std::vector<messages::PreparedCert>> rescue_answers_;
  std::map<Hash, std::shared_ptr<const messages::ParsedBatch>> rescue_bodies_;

  // ---- standing (hello.cpp)
  Standing standing_ = Standing::voter;
  bool space_ = true;           // for the log
  bool never_entered_ = false;  // no ENTERED in the log: nothing was ever sent from it
  std::uint64_t incarnation_ = 0;
  Id16 nonce_{};
  std::uint32_t unheard_ = 0;       // bitmap: peers that have not answered HELLO
  std::uint32_t lost_commits_ = 0;  // bitmap: peers that name a COMMIT without its P-entry here
  std::optional<FenceRecord> fence_;
  std::optional<DivergedRecord> diverged_;
  Lsn diverged_lsn_ = 0;  // its record, behind which the repair begins; 0: it has begun, or none
  SignedByPeers signed_by_peers_;
};

}  // namespace bftmeta::consensus
