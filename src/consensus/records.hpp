// What consensus writes into the write-ahead log, and what it reads back after a crash (protocol
// §3.1, §3.3). Control records are small and decide votes; body records are bulk. The log stores
// them as opaque bytes with a kind and a sequence number. Thread-safety: plain values.
#pragma once

#include "messages/agreement.hpp"

namespace bftmeta::consensus {

using messages::Seq;
using messages::View;

enum class RecordKind : std::uint8_t {
  entered = 1,      // control: EnteredRecord
  left = 2,         // control: own ViewChange
  body = 3,         // bulk: Batch
  vote = 4,         // control: VoteRecord
  prepared = 5,     // control: PreparedCert
  certificate = 6,  // bulk: RootCert (the newest is in every state group, and with every flush)
  executed = 7,     // bulk: BatchHeader
  fenced = 8,       // control: FenceRecord; once in the log, it stays for the life of the log
  diverged = 9,     // control: DivergedRecord; the newest stays
  epoch = 10,       // control: EpochRecord; the first of its epoch, in front of every state group
};
bool valid_value(RecordKind k);
constexpr bool is_control(RecordKind k) {
  return k != RecordKind::body && k != RecordKind::executed && k != RecordKind::certificate;
}

// The epoch that all control records behind it are of. Those in front of it are of an epoch that
// has ended, and decide nothing any more (protocol §9.2).
struct EpochRecord {
  std::uint64_t epoch = 0;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("epoch", s.epoch);
  }
  friend bool operator==(const EpochRecord&, const EpochRecord&) = default;
};

// One record as it goes to the log. `seq`: what it is about; 0 for view records.
struct Record {
  RecordKind kind = RecordKind::body;
  Seq seq = 0;
  Bytes payload;
  std::optional<Hash> digest = std::nullopt;  // of a body: tells several of one seq apart
};

// "Entered view v" with everything that a restarted replica needs to hold on to it, and to pass it
// on: view 0 has no NEW-VIEW.
struct EnteredRecord {
  View view = 0;
  std::optional<messages::NewView> new_view;
  std::vector<messages::ViewChange> votes;  // those that new_view names

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("view", s.view);
    v.field("new_view", s.new_view);
    v.field("votes", s.votes, Cap{limits::kMaxReplicas});
  }
  friend bool operator==(const EnteredRecord&, const EnteredRecord&) = default;
};

// The own PRE-PREPARE or PREPARE, and the primary's signature that it answers.
struct VoteRecord {
  messages::Proposal proposal;
  Signature primary_signature{};

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("proposal", s.proposal);
    v.field("primary_signature", s.primary_signature);
  }
  friend bool operator==(const VoteRecord&, const VoteRecord&) = default;
};

// Which vote this replica has lost (protocol §3.5, §3.6).
enum class Loss : std::uint8_t {
  prepare = 1,
  pre_prepare = 2,
  view_change = 3,
  new_view = 4,
  commit = 5,  // W peers name one
  log = 6,     // the log itself says that votes are unreadable
};
bool valid_value(Loss l);

// "Votes of this key are lost: it never votes again", and how that was found out.
struct FenceRecord {
  Loss loss = Loss::log;
  messages::ReplicaId witness = 0;  // who showed it; the replica itself for Loss::log
  View view = 0;                    // of what was shown
  Seq seq = 0;                      // of what was shown; 0 where there is none
  std::uint64_t incarnation = 0;    // of this start
  std::uint64_t heard = 0;          // newest earlier start that the witness had heard

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("loss", s.loss);
    v.field("witness", s.witness);
    v.field("view", s.view);
    v.field("seq", s.seq);
    v.field("incarnation", s.incarnation);
    v.field("heard", s.heard);
  }
  friend bool operator==(const FenceRecord&, const FenceRecord&) = default;
};

// "This replica computed another state than the agreed one", and what follows from it (protocol
// §4.5). EXECUTED records before it in the log may be wrong.
struct DivergedRecord {
  Seq seq = 0;            // where, the last time
  Seq signed_upto = 0;    // it may have signed wrong shares up to here: it signs none there again
  bool repaired = false;  // a certified state has been fetched since
  bool again = false;     // right after a repair: it stays out of service

  bool out_of_service() const { return !repaired; }

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("seq", s.seq);
    v.field("signed_upto", s.signed_upto);
    v.field("repaired", s.repaired);
    v.field("again", s.again);
  }
  friend bool operator==(const DivergedRecord&, const DivergedRecord&) = default;
};

}  // namespace bftmeta::consensus
