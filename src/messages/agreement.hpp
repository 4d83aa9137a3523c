// The messages of agreement and view change (protocol §1.3, §2-§5). PRE-PREPARE, PREPARE,
// VIEW-CHANGE and NEW-VIEW are signed and transferable; COMMIT and STATUS are authenticated by
// their link only, and their sender is whoever the link says. Thread-safety: plain values.
#pragma once

#include "messages/certificate.hpp"

namespace bftmeta::messages {

// What the statements of one epoch are bound to, and where it starts: `start` is the last sequence
// number of the epoch before, 0 in the first one, and stands for a certificate where an epoch has
// none yet.
struct EpochContext : crypto::Context {
  // NOLINTNEXTLINE(google-explicit-constructor): in the first epoch they are the same
  EpochContext(const crypto::Context& context, Seq s = 0) : crypto::Context(context), start(s) {}
  Seq start = 0;
};

// What a PRE-PREPARE or a PREPARE says: view, seq and digest, signed under the message's own tag. A
// PREPARE's preimage has the replica behind it, a PRE-PREPARE's has not (the primary is known).
struct Proposal {
  View view = 0;
  Seq seq = 0;
  Hash digest{};

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("view", s.view);
    v.field("seq", s.seq);
    v.field("digest", s.digest);
  }
  friend bool operator==(const Proposal&, const Proposal&) = default;
};

struct PrePrepare {
  Proposal proposal;
  Signature signature{};  // of primary(view)
  Batch batch;            // batch_digest(batch) == proposal.digest, else the message is invalid

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("proposal", s.proposal);
    v.field("signature", s.signature);
    v.field("batch", s.batch);
  }
  friend bool operator==(const PrePrepare&, const PrePrepare&) = default;
};

struct Prepare {
  Proposal proposal;
  ReplicaId replica = 0;  // never primary(view)
  Signature signature{};

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("proposal", s.proposal);
    v.field("replica", s.replica);
    v.field("signature", s.signature);
  }
  friend bool operator==(const Prepare&, const Prepare&) = default;
};

struct Commit {
  Proposal proposal;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("proposal", s.proposal);
  }
  friend bool operator==(const Commit&, const Commit&) = default;
};

// Prepared certificate, a self-contained proof (§5.2): the PRE-PREPARE's signature and exactly 2f
// PREPARE signatures of distinct backups, in replica order.
struct PreparedCert {
  Proposal proposal;
  Signature primary_signature{};
  std::uint32_t backups = 0;  // bitmap
  std::vector<Signature> signatures;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("proposal", s.proposal);
    v.field("primary_signature", s.primary_signature);
    v.field("backups", s.backups);
    v.field("signatures", s.signatures, Cap{limits::kMaxReplicas});
  }
  friend bool operator==(const PreparedCert&, const PreparedCert&) = default;
};

// Why a replica leaves a view, or suspects its primary. Diagnosis only.
enum class Reason : std::uint8_t {
  none = 0,
  request_timeout = 1,
  proposal_timeout = 2,
  new_view_timeout = 3,
  invalid_new_view = 4,
  equivocation = 5,
  joined = 6,
  abdication = 7,
  slow_primary = 8,
};
bool valid_value(Reason r);

// Far beyond what any cluster lives to see: view numbers never wrap.
constexpr View kMaxView = 1ULL << 62;

struct ViewChange {
  View new_view = 0;
  ReplicaId replica = 0;
  std::optional<RootCert> base;  // nullopt: the start of the epoch
  std::vector<PreparedCert>
      prepared;  // ascending seqs in (base, base + L], each of a view < new_view
  Reason reason = Reason::none;
  Signature signature{};  // over H(0x16 || everything above)

  Seq base_seq(Seq start = 0) const { return base ? base->body.seq : start; }
  Hash body_digest() const;
  Hash digest() const;  // with the signature: how NEW-VIEW names it

  template <class V, class Self>
  static void body_fields(V& v, Self& s) {
    v.field("new_view", s.new_view);
    v.field("replica", s.replica);
    v.field("base", s.base);
    v.field("prepared", s.prepared, Cap{limits::kWindow});
    v.field("reason", s.reason);
  }
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    body_fields(v, s);
    v.field("signature", s.signature);
  }
  friend bool operator==(const ViewChange&, const ViewChange&) = default;
};

struct NewViewVote {  // one of the Q VIEW-CHANGEs that a NEW-VIEW stands on
  ReplicaId replica = 0;
  Hash digest{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("replica", s.replica);
    v.field("digest", s.digest);
  }
  friend bool operator==(const NewViewVote&, const NewViewVote&) = default;
};

struct Reproposal {  // one entry of O, with its PRE-PREPARE signature of the new view
  Seq seq = 0;
  Hash digest{};
  Signature signature{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("seq", s.seq);
    v.field("digest", s.digest);
    v.field("signature", s.signature);
  }
  friend bool operator==(const Reproposal&, const Reproposal&) = default;
};

struct NewView {
  View view = 0;
  std::vector<NewViewVote> votes;  // exactly Q, ascending replicas
  Seq base_seq = 0;
  std::vector<Reproposal> proposals;  // exactly (base_seq, max], ascending
  Signature signature{};              // of primary(view) over H(0x18 || everything above)

  Hash body_digest() const;
  Seq max_seq() const { return base_seq + proposals.size(); }

  template <class V, class Self>
  static void body_fields(V& v, Self& s) {
    v.field("view", s.view);
    v.field("votes", s.votes, Cap{limits::kMaxReplicas});
    v.field("base_seq", s.base_seq);
    v.field("proposals", s.proposals, Cap{limits::kWindow});
  }
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    body_fields(v, s);
    v.field("signature", s.signature);
  }
  friend bool operator==(const NewView&, const NewView&) = default;
};

// What a replica holds of one slot of its window: peers send what is missing.
struct SlotStatus {
  Seq seq = 0;
  bool proposal = false;  // PRE-PREPARE with its batch, of the sender's view
  bool prepared = false;
  std::uint32_t prepares = 0;  // bitmaps of replicas, of the sender's view
  std::uint32_t commits = 0;
  std::uint32_t shares = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("seq", s.seq);
    v.field("proposal", s.proposal);
    v.field("prepared", s.prepared);
    v.field("prepares", s.prepares);
    v.field("commits", s.commits);
    v.field("shares", s.shares);
  }
  friend bool operator==(const SlotStatus&, const SlotStatus&) = default;
};

// STATUS: level-triggered retransmission (§4.4) and SUSPECT (§5.3) in one. Sent every 50 ms while
// anything is outstanding, else every second. Counts only as what its link's peer says of itself.
struct PeerStatus {
  View view = 0;       // the view that the sender is in or, if not active, wants to enter
  bool active = true;  // it has entered `view`
  View entered = 0;    // highest view that it has entered
  Seq executed = 0;
  Seq certified = 0;
  Reason suspects = Reason::none;  // of `view`'s primary
  std::uint32_t view_changes = 0;  // bitmap: VIEW-CHANGEs held for `view`
  std::uint32_t accused = 0;       // bitmap: replicas that it holds evidence against
  std::vector<SlotStatus> slots;   // outstanding, ascending seqs above min(executed, certified)
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("view", s.view);
    v.field("active", s.active);
    v.field("entered", s.entered);
    v.field("executed", s.executed);
    v.field("certified", s.certified);
    v.field("suspects", s.suspects);
    v.field("view_changes", s.view_changes);
    v.field("accused", s.accused);
    v.field("slots", s.slots, Cap{limits::kWindow});
  }
  friend bool operator==(const PeerStatus&, const PeerStatus&) = default;
};

// Asks for a batch by digest (of a slot in the window).
struct FetchBatch {
  Seq seq = 0;
  Hash digest{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("seq", s.seq);
    v.field("digest", s.digest);
  }
  friend bool operator==(const FetchBatch&, const FetchBatch&) = default;
};

struct BatchData {  // the answer; proves itself by its digest
  Batch batch;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("batch", s.batch);
  }
  friend bool operator==(const BatchData&, const BatchData&) = default;
};

// Asks for executed history above `executed`, to catch up without agreement (§4.4).
struct FetchHistory {
  Seq executed = 0;  // the asker's
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("executed", s.executed);
  }
  friend bool operator==(const FetchHistory&, const FetchHistory&) = default;
};

// Headers executed+1.. of the sender, the first batches that belong to them as room allows, and the
// evidence: a certificate at or behind the last header, which the header chain leads to.
struct HistoryData {
  Seq first = 0;
  std::vector<BatchHeader> headers;  // first, first + 1, ...
  std::vector<Batch> batches;        // of first, first + 1, ...; fewer than headers
  std::optional<RootCert> cert;      // of the last header
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("first", s.first);
    v.field("headers", s.headers, Cap{limits::kMaxHeaderChain});
    v.field("batches", s.batches, Cap{limits::kMaxHeaderChain});
    v.field("cert", s.cert);
  }
  friend bool operator==(const HistoryData&, const HistoryData&) = default;
};

struct FetchViewChange {
  Hash digest{};
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("digest", s.digest);
  }
  friend bool operator==(const FetchViewChange&, const FetchViewChange&) = default;
};

struct FetchNewView {  // the newest that the receiver has entered by, and its VIEW-CHANGEs
  template <class V, class Self>
  static void fields(V&, Self&) {}
  friend bool operator==(const FetchNewView&, const FetchNewView&) = default;
};

// Asks for P-entries by sequence number: the last resort for certified batches that no executor is
// left of (§4.4, "certified, but no executor left").
struct FetchPrepared {
  Seq first = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("first", s.first);
  }
  friend bool operator==(const FetchPrepared&, const FetchPrepared&) = default;
};

// All P-entries of the sender with seq >= first; a seq without one says "none". Only of a sender
// that has not executed `first` itself.
struct PreparedData {
  Seq first = 0;
  std::vector<PreparedCert> entries;  // ascending seqs
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("first", s.first);
    v.field("entries", s.entries, Cap{limits::kWindow});
  }
  friend bool operator==(const PreparedData&, const PreparedData&) = default;
};

// A client's item that a backup passes to the primary.
struct Forward {
  Item item;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("item", s.item);
  }
  friend bool operator==(const Forward&, const Forward&) = default;
};

// ---- signing and checking; every function is pure

Signature sign_pre_prepare(const crypto::Signer& signer, const crypto::Context& context,
                           const Proposal& proposal);
bool verify_pre_prepare(const crypto::Verifier& verifier, const crypto::Context& context,
                        const config::Config& config, const Proposal& proposal,
                        const Signature& signature);
Prepare sign_prepare(const crypto::Signer& signer, const crypto::Context& context,
                     const Proposal& proposal, ReplicaId replica);
bool verify_prepare(const crypto::Verifier& verifier, const crypto::Context& context,
                    const config::Config& config, const Prepare& prepare);
// Shape and all signatures of a prepared certificate.
bool verify_prepared(const crypto::Verifier& verifier, const crypto::Context& context,
                     const config::Config& config, const PreparedCert& prepared);
void sign_view_change(const crypto::Signer& signer, const crypto::Context& context, ViewChange& vc);
// Pure function of bytes and config (§5.3): one bad entry makes the whole message invalid.
Status verify_view_change(const crypto::Verifier& verifier, const EpochContext& context,
                          const config::Config& config, const ViewChange& vc);
// How many signatures checking it costs at most.
std::uint64_t signatures_in(const config::Config& config, const ViewChange& vc);
void sign_new_view(const crypto::Signer& signer, const crypto::Context& context, NewView& nv);
// Only that the primary of nv.view signed it, whatever it says.
bool new_view_signed(const crypto::Verifier& verifier, const crypto::Context& context,
                     const config::Config& config, const NewView& nv);
// Shape, the primary's signature and those of the proposals; not whether O follows from the votes.
Status verify_new_view(const crypto::Verifier& verifier, const crypto::Context& context,
                       const config::Config& config, const NewView& nv);

}  // namespace bftmeta::messages
