// Verified reads from one replica at a time (protocol §6.1, §6.2, §6.5). All reads that wait go in
// one message; an answer counts when its partial tree has a certified root that is not older than
// anything this client has seen and covers every query. A lie, a refusal or silence means another
// replica; a late answer is hedged. Thread-safety: the engine's thread.
#pragma once

#include <deque>
#include <map>

#include "client/core.hpp"
#include "verify/read.hpp"

namespace bftmeta::client {

// One caller's queries, answered from one root.
struct ReadUnit {
  std::vector<schema::Query> queries;
  // Takes what it needs from a verified answer; an error means that the answer does not cover the
  // queries, which is the replica's fault.
  std::function<Status(const verify::VerifiedRead&, const messages::ReadReply&)> accept;
  // After a successful accept, or when nothing verified came in time. Runs inside the turn.
  std::function<void(const Status&, const Now&)> done;
  messages::Seq min_seq = 0;
  ReplicaSet avoid = 0;  // asked only when none of the others has an answer
  Micros deadline = 0;
};

class Reads {
 public:
  explicit Reads(Core& core) : core_(core), next_request_(core.first_request) {}

  // Precondition: 1..kMaxQueriesPerRead queries.
  void add(ReadUnit unit);
  void on_reply(ReplicaId from, const messages::ReadReply& reply, ByteView evidence,
                const Now& now);
  // Asks everything again, among the members of the new epoch.
  void follow(const Renumbering& moved);
  void poll(const Now& now);
  Micros next_wake() const;
  bool idle() const { return waiting_.empty() && messages_.empty(); }
  void fail_all(const Error& error, const Now& now);

 private:
  struct Unit {
    ReadUnit read;
    ReplicaSet tried = 0;  // replicas whose answer was of no use
    ReplicaSet timed_out = 0;
    ReplicaSet too_large = 0;  // replicas that say that its proof alone is too large
    ReplicaSet nothing = 0;    // replicas that say, in this round, that they hold no certificate
    Micros nothing_since = 0;  // that a quorum says so; 0: it does not
    std::uint32_t rounds = 0;  // pauses so far
    Micros not_before = 0;
    bool alone = false;  // its proof is large: nothing shares its message
    bool finished = false;
    std::uint32_t messages = 0;  // that carry it now
  };
  using Shared = std::shared_ptr<Unit>;
  struct Message {
    ReplicaId to = 0;
    messages::Seq min_seq = 0;
    Micros sent = 0;
    bool hedged = false;  // another replica was asked too, or this is that question
    bool late = false;    // does not hold up others any more
    std::vector<Shared> units;
  };

  std::size_t prompt_messages() const;  // that may still be answered in time
  bool may_send(const Now& now) const;
  void send_waiting(const Now& now);
  // The units that can share the next message, taken from the queue.
  std::vector<Shared> take(const Now& now, ReplicaSet& avoid);
  void send(ReplicaId to, std::vector<Shared> units, bool hedge, const Now& now);
  void hedge(Message& message, const Now& now);
  void time_out(const Now& now);
  void expire(const Now& now);
  void accept(const Message& message, const verify::VerifiedRead& verified,
              const messages::ReadReply& reply, ByteView evidence, const Now& now);
  // Back to the queue, to be asked elsewhere.
  void retry(const std::vector<Shared>& units, ReplicaId failed, bool timed_out, const Now& now);
  void split(const Message& message, const Now& now);
  void pause(Unit& unit, const Now& now);
  // A quorum has nothing certified, for longer than replicas need that just started.
  bool found_empty(Unit& unit, const Now& now) const;
  void finish(Unit& unit, const Status& status, const Now& now);
  Micros hedge_delay() const;
  Micros reply_timeout() const;

  Core& core_;
  std::deque<Shared> waiting_;
  std::map<std::uint64_t, Message> messages_;  // by request id
  std::uint64_t next_request_;
  // After k reads were answered at once, their callers are likely to come back at once.
  std::size_t gather_count_ = 0;
  Micros gather_until_ = 0;
};

}  // namespace bftmeta::client
