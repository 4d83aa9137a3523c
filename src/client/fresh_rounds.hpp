// Linearizable reads without ordering anything (protocol §6.3): a round asks all replicas for their
// newest certificate; the highest among the answers of a quorum covers every operation that had
// completed anywhere when the round started. One round at a time, so that all callers that come
// while it runs share the next one; a round counts only for those that had come before it started.
// Thread-safety: the engine's thread.
#pragma once

#include "client/core.hpp"

namespace bftmeta::client {

class FreshRounds {
 public:
  // `fall_back` orders something instead: after kMaxFailedRounds, and while nothing is certified.
  FreshRounds(Core& core, std::function<void(Barrier)> fall_back)
      : core_(core), fall_back_(std::move(fall_back)) {}

  void add(Barrier barrier) { waiting_.push_back({std::move(barrier), 0}); }
  void on_reply(ReplicaId from, const messages::FreshReply& reply, ByteView evidence,
                const Now& now);
  // The round under way starts again: what members of the epoch before say bounds nothing now.
  void follow();
  // What was under way when the connection broke is lost.
  void on_connected(ReplicaId replica);
  void poll(const Now& now);
  Micros next_wake() const;
  bool idle() const { return waiting_.empty() && !round_; }
  void fail_all(const Error& error, const Now& now);

 private:
  static constexpr std::uint32_t kMaxFailedRounds = 2;  // protocol §6.3

  struct Waiting {
    Barrier barrier;
    std::uint32_t failed = 0;  // rounds
  };
  struct Round {
    messages::Fresh query;
    Hash known_digest{};  // of the certificate query.known_cert
    Micros started = 0;
    Micros ends = 0;
    ReplicaSet heard = 0;  // valid answers
    messages::Seq newest = 0;
    std::vector<Waiting> waiting;
  };

  bool quorum_possible(const Now& now) const;
  void start(const Now& now);
  Result<messages::Seq> verify(const messages::FreshReply& reply);
  bool epoch_ends_with(messages::Seq seq) const;
  void succeed(const Now& now);
  void give_up(const Now& now);
  void expire(std::vector<Waiting>& waiting, const Now& now);
  Micros timeout() const;

  Core& core_;
  std::function<void(Barrier)> fall_back_;
  std::vector<Waiting> waiting_;  // for the next round
  std::optional<Round> round_;
  Latency rounds_;
};

}  // namespace bftmeta::client
