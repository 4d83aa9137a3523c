// The receiving side of a state transfer (protocol §7.7), a pure state machine: from a tree that is
// empty, stale, damaged or left over from an interrupted transfer to the tree of a certified state;
// or, with Options::restore, from a damaged tree to what it was (protocol §7.8). It walks
// the difference, asks all peers at once, merges what it has verified, and hands over write sets
// for the store, one at a time. What each peer may do wrong, and what happens then: README.md. No
// clock, I/O (but the store behind the own tree), randomness or threads. Thread-safety: one thread.
#pragma once

#include <map>
#include <memory>
#include <variant>

#include "transfer/pace.hpp"
#include "transfer/target.hpp"
#include "transfer/work.hpp"

namespace bftmeta::transfer {

// All in microseconds. Local policy.
struct Timing {
  std::uint64_t answer = 1'000'000;          // a peer has this long for an answer
  std::uint64_t alone = 200'000;             // ... and, when nothing else is left, to itself
  std::uint64_t longest_quiet = 16'000'000;  // ... and is then left alone, each time twice as long
  std::uint64_t offers = 200'000;            // others' offers are waited for, once there is one
  std::uint64_t ask_again = 250'000;         // between questions for offers
  std::uint64_t target = 4'000'000;          // a target is compared with what else is offered
  std::uint64_t write_again = 1'000'000;     // after a write that failed
};

struct Options {
  ReplicaId self = 0;
  Hash cluster_id{};
  config::Config config;
  // Of the last batch of the epoch before, as the chain of epochs proves it: until the first one of
  // this epoch is certified, that state is all that there is. Stored instead of the certificate in
  // an offer of it: that its body is proven says nothing of the signatures that came along.
  std::optional<messages::RootCert> epoch_start;
  messages::Seq floor = 0;             // states below are of no use
  std::uint64_t first_id = 0;          // random: answers to an earlier start are not taken
  std::vector<tree::Subtree> damaged;  // that the own tree has and can not read
  // The own tree is of this certified state, and is to be it again: exactly what is damaged is
  // fetched, from whoever serves it still.
  std::optional<messages::CertBody> restore;
  // That come from all peers together; 0: only each peer's own limit counts.
  std::uint64_t bytes_per_second = 0;
  // Unwritten bytes, about, that make a write; twice as many and nothing more is asked for.
  std::size_t write_bytes = 4 * 1024 * 1024;
  Timing timing;
};

namespace action {
struct Send {
  ReplicaId to = 0;
  messages::FetchNodes message;
};
// Into the next generation of the store; then Receiver::written or not_written. With `complete` it
// is the tree of that state, and both become durable in one commit; without, a mixture of states
// (mixture_meta), which nothing may be executed on; unless it is `restored`: the tree that it was.
struct Write {
  tree::WriteSet set;
  std::optional<CertifiedState> complete;
  bool restored = false;
};
}  // namespace action
using Action = std::variant<action::Send, action::Write>;
using Actions = std::vector<Action>;

// Meta of a generation that is no state but a transfer under way. No checkpoint begins like this.
Bytes mixture_meta();
bool is_mixture(ByteView meta);

class Receiver {
 public:
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  // `verifier` outlives the receiver. `own`: the tree of the store's newest generation, whatever it
  // is.
  Receiver(Options options, const crypto::Verifier& verifier, tree::Version own);

  void on(ReplicaId from, messages::NodesData answer, std::uint64_t now_us, Actions& out);
  void tick(std::uint64_t now_us, Actions& out);
  std::uint64_t deadline() const { return deadline_us_; }  // kNever: only other events matter

  // The write under way is in the store, and `snapshot` is its generation.
  void written(const tree::WriteSet& set, std::shared_ptr<const tree::Snapshot> snapshot,
               std::uint64_t now_us, Actions& out);
  // It is not. What it held goes into the next one, Timing::write_again later.
  void not_written(std::uint64_t now_us, Actions& out);

  // The store holds the tree of state(), or the one that was restored, durably or not.
  bool done() const { return done_; }
  // Precondition of both: done(); of state(): nothing was to be restored.
  const CertifiedState& state() const { return *target_.state(); }
  const tree::Version& version() const { return work_.own(); }
  // The own store cannot be read, or does not hold what was written: it has to be replaced. Of what
  // is to be restored also not_found: nobody serves it any more, because the state has moved on.
  const std::optional<Error>& failure() const { return failure_; }

  // ---- what a driver shows and tests check
  std::uint64_t received_bytes() const { return received_; }
  std::uint64_t leaves() const { return work_.own().leaf_count(); }
  std::uint64_t target_leaves() const { return work_.target_leaves(); }  // 0: not known yet
  std::uint32_t banned() const;                                          // bitmap
  std::size_t repairs() const { return work_.repairs(); }  // damaged subtrees that were met
  std::size_t open() const { return work_.open(); }
  const std::optional<CertifiedState>& target() const { return target_.state(); }

 private:
  struct Peer {
    bool banned = false;
    Pace pace{limits::kNodesBytesPerSecond, 0};
    std::uint32_t slow = 0;  // times in a row that it did not answer, or was overtaken
    std::uint64_t quiet_until_us = 0;
    std::uint32_t asked = 0;  // questions for subtrees under way
  };
  // What one peer is asked for, or several because the first ones take long. The first answer
  // counts.
  struct Errand {
    std::vector<Task> tasks;
    std::uint32_t askers = 0;     // bitmap: who was asked ...
    std::uint32_t under_way = 0;  // ... and how many of these may still answer
    std::uint64_t last_us = 0;    // when the last of them was
    bool done = false;
  };
  struct Question {
    ReplicaId to = 0;
    std::shared_ptr<Errand> errand;  // nullptr: for an offer
    std::size_t subtrees = 0;
    std::uint64_t deadline_us = 0;
  };
  using Questions = std::map<std::uint64_t, Question>;  // by id

  void go_on(Actions& out);
  void time_out();
  void on_offer(ReplicaId from, const messages::NodesData& answer);
  void on_fragments(const messages::NodesData& answer, const Question& question);
  void erase_surplus();
  void choose_target();
  void give_up_if_stuck();
  void ask_for_offers(Actions& out);
  void ask_for_offers_soon();
  void ask_for_subtrees(Actions& out);
  void ask_others_too(Actions& out);
  std::size_t free_questions() const;
  bool may_ask(const Peer& peer) const;
  bool aimed() const { return options_.restore || target_.state(); }
  Status begin_again();
  bool asking() const;
  void ask(ReplicaId to, std::shared_ptr<Errand> errand, Actions& out);
  Questions::iterator drop(Questions::iterator question);
  void overtake(const Question& by);
  void leave_alone(Peer& peer);
  void ban(ReplicaId id);
  void take_back(ReplicaId id);
  std::uint32_t usable() const;
  void write(Actions& out);
  void check_end();
  void set_deadline();
  void keep(Status status);

  const Options options_;
  const crypto::Verifier& verifier_;
  Work work_;
  Target target_;
  Pace pace_;  // of all peers together
  std::map<ReplicaId, Peer> peers_;
  Questions questions_;
  std::uint64_t next_id_;
  ReplicaId turn_ = 0;  // who is asked first
  std::size_t offers_awaited_ = 0;
  std::uint64_t next_offers_us_ = 0;  // when offers are asked for
  std::uint64_t last_offers_us_ = 0;  // when they were
  std::uint64_t choose_us_ = 0;       // when one is taken; 0: none was asked for
  bool writing_ = false;
  std::uint64_t write_again_us_ = 0;  // not before
  bool at_end_ = false;               // the own tree is the target's
  bool last_write_ = false;
  bool done_ = false;
  std::uint32_t failed_ends_ = 0;
  std::optional<Error> failure_;
  std::uint64_t received_ = 0;
  std::uint64_t now_us_ = 0;
  std::uint64_t deadline_us_ = 0;
};

}  // namespace bftmeta::transfer
