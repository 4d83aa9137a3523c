// What may happen to one correct replica: a client's item, a set of messages that arrive together,
// a reason to leave its view, a power cut. A move is a number that stands for a key of 64 bits, and
// the key says everything: which messages they are follows from it. Thread-safety: one thread.
#pragma once

#include <unordered_map>

#include "sim/explore/seat.hpp"

namespace bftmeta::sim::explore {

enum class Kind : std::uint8_t {
  item,      // a client's item comes to the primary; a: which
  propose,   // PRE-PREPARE; a: slot
  prepares,  // PREPAREs for one batch; a: slot, b: senders, c: 1: the Byzantine one's is broken
  commits,   // COMMITs for one batch; a: slot, b: senders
  shares,    // ROOT-SHAREs of one body; a: body, b: senders
  leave,     // W peers suspect the primary; a: view
  lead,      // two VIEW-CHANGEs for the view that it is to lead; a, b: messages
  enter,     // a NEW-VIEW with its VIEW-CHANGEs and its batches; a: message
  history,   // an executor's history, behind shares of its last batch; a: message, b: body, c:
             // senders
  invent,    // the Byzantine replica's history, behind its own share; a: batch
  restart,   // power cut and start; a, b: who answers, and what; c: 0, or 1 + the move that it cuts
             // off
};

struct Key {
  Kind kind = Kind::item;
  std::uint32_t a = 0, b = 0, c = 0;  // each below kMaxNumber
};

// (view, seq, batch) as one number: the position of bit().
constexpr std::uint32_t slot_of(View v, Seq n, BatchNo d) {
  return static_cast<std::uint32_t>((v * kMaxSeqs + (n - 1)) * kMaxBatches + d);
}
struct Slot {
  View view = 0;
  Seq seq = 0;
  BatchNo batch = 0;
};
constexpr Slot slot_from(std::uint32_t a) {
  return {a / (kMaxSeqs * kMaxBatches), a / kMaxBatches % kMaxSeqs + 1, a % kMaxBatches};
}

// An answer to HELLO in a key: its sender and its number.
constexpr std::uint32_t answer_of(ReplicaId from, std::uint32_t message) {
  return from << 18 | message;
}
constexpr ReplicaId answerer(std::uint32_t answer) { return answer >> 18; }
constexpr std::uint32_t answer_message(std::uint32_t answer) { return answer & ((1U << 18) - 1); }

class Moves {
 public:
  explicit Moves(World& world) : world_(world) {}

  std::uint32_t number_of(const Key& key);
  const Key& key(std::uint32_t move) const { return keys_.at(move); }
  // What arrives at replica `to`, in this order.
  std::vector<std::pair<ReplicaId, PeerMessage>> deliveries(ReplicaId to, const Local& local,
                                                            const Key& key) const;
  // In words; different for any two moves that can be made in one state.
  std::string text(ReplicaId to, std::uint32_t move) const;

 private:
  std::vector<std::pair<ReplicaId, PeerMessage>> entry(ReplicaId to, const Local& local,
                                                       const messages::NewView& nv) const;
  std::string text(const Key& key) const;
  std::string view_change_text(std::uint32_t message) const;
  std::string new_view_text(std::uint32_t message) const;

  World& world_;
  std::vector<Key> keys_;
  std::unordered_map<std::uint64_t, std::uint32_t> numbers_;
};

}  // namespace bftmeta::sim::explore
