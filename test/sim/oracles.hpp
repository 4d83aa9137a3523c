// What must hold in every run, checked all the time (protocol §11.3). The cluster shows the oracles
// everything that happens; they know the whole truth and judge correct replicas only. Each has the
// number of the design, and what fires begins with it ("S1 ..."):
//   S1 agreement            S2 one certified body      S3 validity, executed once
//   S4 no equivocation      S5 nothing acknowledged is lost
//   S6 prepared implies     S7 root of the naive model S8 fsck          S9 answers are those of the
//   state S10 linearizability     S11 agreed time            S12 bounds       S13 what a correct
//   replica sends is valid S14 shares name what is committed L1 progress after the faults  L3, L4
//   view changes   L5 certificates keep up
// S2, S4, S6, S13 and S14 watch frames and are in statements.hpp; L1 to L5 and S12 are in
// liveness.hpp; S7 is in reference.hpp; what S2 and S13 say of state transfers is in transfers.hpp.
// Thread-safety: one thread.
#pragma once

#include <map>
#include <set>

#include "sim/client.hpp"
#include "sim/liveness.hpp"
#include "sim/reference.hpp"
#include "sim/statements.hpp"
#include "sim/transfers.hpp"

namespace bftmeta::sim {

class Oracles {
 public:
  // `reference`: run the naive model beside the first executor (S7). Not to be moved.
  Oracles(Known known, const config::Genesis& genesis, const Scheduler& scheduler, bool reference);

  // ---- what the cluster shows
  // Of a replica that is in `epoch`. `to`: empty means everybody.
  void sent(messages::ReplicaId from, const messages::PeerMessage& message,
            const std::vector<messages::ReplicaId>& to = {}, std::uint64_t epoch = 0);
  // Somebody is in the epoch behind this step. Two ends of one epoch are a violation (S2).
  void epoch_began(const messages::EpochStep& step);
  // `record` goes to its log; `wall_us` is what its clock shows.
  void logged(messages::ReplicaId replica, const consensus::Record& record, std::uint64_t wall_us,
              std::uint64_t epoch = 0);
  // Also in another epoch, where views begin at 0 again.
  void started(messages::ReplicaId replica) { entered_.erase(replica); }
  void fenced(messages::ReplicaId replica, const std::string& why);
  void accused(messages::ReplicaId holder, const messages::Accusation& accusation);
  void wiped(messages::ReplicaId replica) { fenced_.erase(replica); }
  // `state`: after the batch; nullptr: the state machine has no tree.
  void executed(messages::ReplicaId replica, const messages::ParsedBatch& batch,
                const consensus::Outcome& outcome, const std::vector<Outcome>& items,
                const tree::Version* state);
  void transfer_ended(messages::ReplicaId replica, const messages::CertifiedState& state,
                      const tree::Version& fetched);
  void acknowledged(const Acknowledged& what);
  void read(const PublicKey& principal, const schema::Query& query, messages::Seq seq,
            const ns::QueryResult& result);
  // A state that some replica has; finish() looks at the newest.
  void check_state(const tree::Reader& state);
  // The clients' history, the state in the end.
  void finish(const std::vector<test::HistoryEntry>& history, const std::vector<const Host*>& up);

  void violation(const char* oracle, const std::string& what);
  const std::vector<std::string>& violations() const { return violations_; }

  Known& known() { return known_; }
  const Known& known() const { return known_; }
  const Statements& statements() const { return *epochs_.front().statements; }
  Liveness& liveness() { return liveness_; }
  Transfers& transfers() { return transfers_; }
  messages::Seq last_acknowledged() const { return last_acknowledged_; }
  std::uint64_t reads_checked() const { return reads_checked_; }
  std::uint64_t batches_modelled() const { return reference_ ? reference_->batches() : 0; }
  std::uint64_t states_checked() const { return states_checked_; }
  std::size_t fences() const { return fenced_.size(); }
  Hash digest() const;  // of everything that was executed

 private:
  static constexpr std::size_t kMaxViolations = 10;  // the first one matters

  struct Decided {
    messages::Seq seq = 0;
    Hash results_digest{};
    bool first_time = false;
  };

  void check_items(const messages::ParsedBatch& batch, const std::vector<Outcome>& outcomes);
  void check_outcome(messages::Seq seq, const Outcome& outcome);
  void check_time(const messages::ParsedBatch& batch, const consensus::Outcome& outcome);
  void check_kept(const Host& host);
  void check_kept(const tree::Reader& state, const Acknowledged& what);

  // Statements of one epoch are judged under its configuration.
  struct Epoch {
    std::unique_ptr<Known> known;
    std::unique_ptr<Statements> statements;
    std::optional<messages::EpochStep> ended;
  };
  Epoch make_epoch(Known known);

  const Scheduler& scheduler_;
  std::vector<Epoch> epochs_;
  Known& known_;  // of the first one
  Liveness liveness_;
  Transfers transfers_;
  std::unique_ptr<Reference> reference_;
  std::vector<std::string> violations_;
  std::set<messages::ReplicaId> fenced_;  // for the life of their disks

  std::map<messages::ReplicaId, std::set<Hash>> logged_;        // bodies, ever
  std::map<messages::ReplicaId, messages::View> entered_;       // since its start
  std::map<Hash, Decided> decided_;                             // by request
  std::map<std::pair<Id16, std::uint64_t>, Hash> executed_of_;  // (session, number) -> request
  std::map<messages::Seq, tree::Version> versions_;
  std::map<Hash, Acknowledged> acknowledged_;
  messages::Seq last_acknowledged_ = 0;
  std::uint64_t reads_checked_ = 0;
  std::uint64_t states_checked_ = 0;
};

}  // namespace bftmeta::sim
