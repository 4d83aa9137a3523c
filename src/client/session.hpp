// One session: a FIFO stream of numbered, signed bundles (protocol §8, architecture §5). A bundle
// is signed once and the same bytes are sent until its outcome is verified; only that completes an
// operation. Sends at once when nothing is outstanding, otherwise everything queued meanwhile
// becomes the next bundle. Opens itself when there is work, and anew after it expired: then what
// was in flight is answered from the certified session record or tombstone, and nothing is
// replayed. Thread-safety: the engine's thread.
#pragma once

#include <deque>

#include "client/core.hpp"

namespace bftmeta::client {

struct PendingOperation {
  schema::Operation operation;
  std::size_t size = 0;  // encoded
  OperationDone done;
  Micros deadline = 0;
};

// What a verified root says about a session and one of its bundles.
struct SessionEvidence {
  std::optional<schema::Session> record;
  std::optional<schema::StoredResult> stored;
  std::optional<schema::Tombstone> tombstone;
};

class Session {
 public:
  using Answer = std::function<void(Result<SessionEvidence>, const Now&)>;
  using Ask = std::function<void(const Id16& session, std::uint64_t bundle_no, ReplicaSet avoid,
                                 Answer, const Now&)>;

  // `ask` makes a verified read of the session's records, of those in `avoid` only if no other one
  // answers; `core` outlives this.
  Session(Core& core, Ask ask);

  // Precondition: size fits a bundle (max_operation_size).
  void submit(PendingOperation operation);
  void barrier(Barrier barrier) { barriers_.push_back(std::move(barrier)); }
  void keep_open() { wanted_ = true; }
  void close();
  static std::size_t max_operation_size();

  // True if it was about something of this session.
  bool on_reply(ReplicaId from, const messages::Reply& reply, ByteView evidence, const Now& now);
  bool on_refusal(ReplicaId from, const messages::Refusal& refusal, const Now& now);
  void on_connected(ReplicaId replica);
  // What is in flight goes to the members of the new epoch; `before`: the one that is over.
  void follow(const Renumbering& moved, std::uint64_t before, const Now& now);

  // Sends what is due and answers what is too late; call after every turn's input and at
  // next_wake().
  void poll(const Now& now);
  Micros next_wake() const;

  bool is_open() const { return state_ == State::open; }
  bool idle() const { return queue_.empty() && barriers_.empty() && flights_.empty(); }
  bool closed() const { return state_ == State::none && closing_ && idle(); }
  // Why the cluster opened no session when it was last asked to; nullopt: it did, or did not say.
  const std::optional<Error>& refusal() const { return refusal_; }
  // Everything that waits is answered with this.
  void fail_all(const Error& error, const Now& now);

 private:
  enum class State { none, opening, open };
  struct Waiter {
    OperationDone done;
    Micros deadline = 0;
  };
  // Something signed that is on its way: a bundle, or the SESSION-OPEN (number 0).
  struct Flight {
    std::uint64_t number = 0;
    Hash digest{};
    Bytes frame;
    std::uint64_t valid_until_us = 0;
    Micros first_sent = 0;
    Micros resend_at = 0;
    std::uint32_t sends = 0;
    std::uint32_t busy = 0;     // refusals for lack of room since the last send to all
    ReplicaSet strange_to = 0;  // of a SESSION-OPEN: replicas that do not know its key
    ReplicaSet gone = 0;        // who has executed it and does not have its result any more
    bool resolved = false;
    std::vector<Waiter> waiters;
    std::vector<Barrier> barriers;
  };

  // session.cpp: bundles
  bool may_send(const Now& now) const;
  bool bundle_is_full() const;
  std::size_t outstanding() const;
  void send_next(const Now& now);
  void send_noop(const Now& now);
  void launch(Flight flight, messages::Bundle bundle, const Now& now);
  void keep_alive(const Now& now);
  void expire(const Now& now);
  void send_first(Flight& flight, const Now& now);
  void retransmit(const Now& now);
  void retransmit(Flight& flight, const Now& now);
  Micros retry_delay(const Flight& flight);
  Flight* find(const Hash& digest);
  void finish(Flight& flight, const verify::VerifiedReply& reply, const Now& now);
  void succeed(Flight& flight, schema::BundleResult result, messages::Seq seq, const Now& now);
  void unkept(Flight& flight, messages::Seq seq, const Now& now);
  void fail_flight(Flight& flight, const Error& error);
  void resolved(Flight& flight);
  void subscribe_more();

  // session_life.cpp: opening, doubt, loss
  void begin_open(const Now& now);
  void opened(const verify::VerifiedReply& reply, const Now& now);
  void choose_home(const Now& now);
  void strange_to(ReplicaId replica, const Now& now);
  void open_refused(Error error, const Now& now);
  void refuse_queue(const Error& error, const Now& now);
  void check(const Now& now);
  void judge(const SessionEvidence& evidence, const Now& now);
  void judge_stored(const schema::StoredResult& stored, const Now& now);
  void lost(const std::optional<schema::Tombstone>& tombstone);
  void drop_session();

  Core& core_;
  Ask ask_;
  State state_ = State::none;
  bool wanted_ = false;
  bool closing_ = false;
  bool close_sent_ = false;
  bool probing_ = false;  // the lease may be over: nothing follows until the keepalive is answered

  std::deque<PendingOperation> queue_;
  std::size_t queued_bytes_ = 0;
  std::vector<Barrier> barriers_;

  Flight opening_;
  Id16 id_{};
  ReplicaId home_ = 0;            // answers our bundles
  std::uint32_t subscribed_ = 1;  // as do those that follow it in number
  std::uint64_t next_number_ = 1;
  std::deque<Flight> flights_;  // by number; the front one is not resolved
  std::size_t window_;          // bundles in flight: halved when a replica is busy
  std::size_t window_credit_ = 0;
  Micros last_active_ = 0;  // the newest executed bundle was sent not before
  Micros open_after_ = 0;
  std::optional<Error> refusal_;

  // After k operations were answered at once, their callers are likely to come back at once.
  std::size_t gather_count_ = 0;
  Micros gather_until_ = 0;

  bool checking_ = false;
  std::uint32_t checks_ = 0;  // since the last bundle was resolved
  Micros check_after_ = 0;
  Micros status_after_ = 0;
};

}  // namespace bftmeta::client
