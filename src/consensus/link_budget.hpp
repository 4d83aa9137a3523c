// What one peer may cost this replica (protocol §5.7, §8.4): signature checks of what it brings,
// and bytes of what it asks for. Its numbers stand in base/limits.hpp. A correct replica relays
// only what it has verified, so a link that brought one bad signature is its sender's fault: from
// then on every check for it is paid for, at a low rate, after everybody else's (Core::step defers
// it). Pure: time comes with each call, in microseconds. Thread-safety: one thread.
#pragma once

#include <map>

#include "base/limits.hpp"
#include "messages/batch.hpp"

namespace bftmeta::consensus {

// Fills with `rate` units per second up to `burst`. What is dearer than what is left may still be
// taken, on credit: no message is too large for ever, and the mean rate holds.
class Bucket {
 public:
  Bucket(std::uint64_t rate, std::uint64_t burst)
      : rate_(rate), burst_(static_cast<std::int64_t>(burst)), units_(burst_) {}

  bool open(std::uint64_t now_us) {
    refill(now_us);
    return units_ > 0;
  }
  bool take(std::uint64_t units, std::uint64_t now_us) {
    if (!open(now_us)) return false;
    units_ -= static_cast<std::int64_t>(units);
    return true;
  }

 private:
  void refill(std::uint64_t now_us);

  std::uint64_t rate_;
  std::int64_t burst_;
  std::int64_t units_;
  std::uint64_t filled_us_ = 0;
  std::uint64_t carried_ = 0;  // millionths of a unit
};

class LinkBudget {
 public:
  using ReplicaId = messages::ReplicaId;

  // One vote, proposal or client item: what agreement lives on is free for a link that is trusted.
  bool may_check_vote(ReplicaId from, std::uint64_t now_us);
  // Something that is a proof in itself and can be had in any number: VIEW-CHANGE, NEW-VIEW,
  // certificates, P-entries, evidence.
  bool may_check_proof(ReplicaId from, std::uint64_t signatures, std::uint64_t now_us);
  // Whether a deferred message would be looked at now.
  bool may_check_deferred(ReplicaId from, std::uint64_t now_us);

  void distrust(ReplicaId from);
  bool distrusted(ReplicaId from) const { return (distrusted_ >> from & 1) != 0; }
  std::uint32_t distrusted() const { return distrusted_; }  // bitmap

  bool may_answer(ReplicaId to, std::uint64_t now_us);  // anything at all
  bool pay_answer(ReplicaId to, std::uint64_t bytes, std::uint64_t now_us);
  bool pay_repeat(ReplicaId to, std::uint64_t bytes, std::uint64_t now_us);

 private:
  struct Link {
    Bucket proofs{limits::kVerifyPerSecond, limits::kVerifyBurst};
    Bucket distrusted{limits::kDistrustedVerifyPerSecond, limits::kDistrustedVerifyPerSecond};
    Bucket answers{limits::kAnswerBytesPerSecond, limits::kAnswerBurst};
    Bucket repeats{limits::kRepeatBytesPerSecond, limits::kRepeatBurst};
  };

  std::map<ReplicaId, Link> links_;
  std::uint32_t distrusted_ = 0;
};

}  // namespace bftmeta::consensus
