// EVIDENCE (protocol §9.6): what one replica signed and a correct one never signs, as a value that
// convinces anybody who has the genesis. It is kept, passed on and shown; it never removes a
// member, because broken hardware must not be able to remove a quorum. Thread-safety: pure
// functions and plain values.
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
const char* offence_name(Offence o);  // "two-proposals"

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

// Asks a replica for the evidence that it keeps, one at a time by position. Who asks verifies it.
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
  std::optional<Evidence> evidence;  // nullopt: none at this position
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("request_id", s.request_id);
    v.field("total", s.total);
    v.field("evidence", s.evidence);
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

// A file of evidence: magic, version, cluster, epoch, canonical bytes; one encoding per value.
constexpr std::size_t kMaxEvidenceFile = limits::kMaxFrame;
Bytes encode_evidence_file(const crypto::Context& context, const Evidence& evidence);
// Structure, cluster and epoch; judge() decides. Errc::malformed, Errc::identity.
Result<Evidence> decode_evidence_file(const crypto::Context& context, ByteView bytes);

}  // namespace bftmeta::messages
