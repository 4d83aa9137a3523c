// EVIDENCE (protocol §9.6): what one replica signed and a correct one never signs, as a value that
// convinces anybody who has the genesis. It is kept, passed on and shown; it never removes a
// member, because broken hardware must not be able to remove a quorum. An epoch ends and what its
// members signed stays signed, so whatever is kept or shown says of which epoch it is.
// Thread-safety: pure functions and plain values.
#pragma once

#include "messages/agreement.hpp"
#include "messages/hello.hpp"

namespace bftmeta::messages {

// A correct replica commits none of them in its whole life, restarts included (protocol §3.1, S4,
// S13).
enum class Offence : std::uint8_t {
  two_proposals = 1,         // PRE-PREPAREs of one (view, seq) for two batches
  two_prepares = 2,          // PREPAREs of one (view, seq) for two batches
  two_shares = 3,            // root shares of one seq for two states
  two_view_changes = 4,      // VIEW-CHANGEs to one view with two contents
  two_new_views = 5,         // NEW-VIEWs of one view with two contents
  wrong_share = 6,           // a root share that differs from the certificate of its seq
  unproven_view_change = 7,  // a VIEW-CHANGE with a base or an entry that is no proof
  malformed_new_view = 8,    // a NEW-VIEW whose own parts do not hold
};
constexpr std::size_t kOffences = 8;
bool valid_value(Offence o);
const char* offence_name(Offence o);     // "two-proposals"
const char* offence_meaning(Offence o);  // "two batches for one view and sequence number"

using Statement = std::variant<SignedProposal, Prepare, RootShare, ViewChange, NewView, RootCert>;

// At most two VIEW-CHANGEs with full windows, less than half a frame.
struct Evidence {
  Statement first;
  std::optional<Statement> second;  // nullopt: `first` condemns itself
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("first", s.first);
    v.field("second", s.second);
  }
  friend bool operator==(const Evidence&, const Evidence&) = default;
};

// Judged by the members of `epoch` and where that began, whoever the members are today.
struct KeptEvidence {
  std::uint64_t epoch = 0;
  Evidence evidence;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("epoch", s.epoch);
    v.field("evidence", s.evidence);
  }
  friend bool operator==(const KeptEvidence&, const KeptEvidence&) = default;
};

// Asks a replica for the evidence that it keeps, one at a time by position: of the epochs that are
// over first, so that a new one moves none of them. Who asks verifies it.
struct EvidenceQuery {
  std::uint64_t request_id = 0;
  std::uint32_t index = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_id", s.request_id);
    v.field("index", s.index);
  }
  friend bool operator==(const EvidenceQuery&, const EvidenceQuery&) = default;
};

struct EvidenceReply {
  std::uint64_t request_id = 0;
  std::uint32_t total = 0;           // how many the replica keeps
  std::optional<KeptEvidence> kept;  // nullopt: none at this position
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_id", s.request_id);
    v.field("total", s.total);
    v.field("kept", s.kept);
  }
  friend bool operator==(const EvidenceReply&, const EvidenceReply&) = default;
};

struct Accusation {
  ReplicaId replica = 0;
  Offence offence = Offence::two_proposals;
  View view = 0;  // 0 where the statements have none
  Seq seq = 0;    // 0 where the statements have none
  friend bool operator==(const Accusation&, const Accusation&) = default;
};
std::string to_string(const Accusation& a);  // "replica 2: two-proposals in view 5, sequence 9"

// What the evidence claims, by its shape alone: no signature is looked at. Errc::unverified: its
// statements do not contradict each other, or are not of one replica.
Result<Accusation> claim_of(const config::Config& config, const Evidence& evidence);
// What judge() checks at most.
std::uint64_t signatures_in(const config::Config& config, const Evidence& evidence);
// The same, proven: every signature holds. Errc::unverified otherwise.
Result<Accusation> judge(const crypto::Verifier& verifier, const EpochContext& context,
                         const config::Config& config, const Evidence& evidence);

// What makes this statement one that no correct replica signs, by its own bytes alone. nullopt: it
// is none of a kind that can, or nothing is wrong with it. Its own signature is not looked at.
std::optional<std::string> flaw_of(const crypto::Verifier& verifier, const EpochContext& context,
                                   const config::Config& config, const Statement& statement);

// What one statement says, in terms that all kinds share: for people.
struct Said {
  const char* kind = "";      // as its message is called: "PRE-PREPARE", "ROOT-SHARE"
  std::uint32_t signers = 0;  // bitmap
  View view = 0;              // 0 where it has none
  Seq seq = 0;                // 0 where it has none
  Hash digest{};              // of the batch, the CertBody, the VIEW-CHANGE or the NEW-VIEW
  friend bool operator==(const Said&, const Said&) = default;
};
// Precondition: judge() accepted the evidence that it is part of.
Said said_by(const config::Config& config, const Statement& statement);

// A file of evidence: magic, cluster, epoch, canonical bytes; one encoding per value.
constexpr std::size_t kMaxEvidenceFile = limits::kMaxFrame;
constexpr const char* kEvidenceSuffix = ".evidence";
// "epoch-1-replica-2-two-proposals.evidence": no two members of one cluster share one.
std::string evidence_file_name(std::uint64_t epoch, const Accusation& a);
Bytes encode_evidence_file(const Hash& cluster_id, const KeptEvidence& kept);
// Structure and cluster; judge() decides. Errc::malformed, Errc::identity.
Result<KeptEvidence> decode_evidence_file(const Hash& cluster_id, ByteView bytes);

}  // namespace bftmeta::messages
