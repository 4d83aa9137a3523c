#include "messages/evidence.hpp"

#include "base/mutant.hpp"

namespace bftmeta::messages {

namespace {

constexpr std::array<std::uint8_t, 8> kFileMagic = {'B', 'M', 'F', 'E', 'V', 'I', 'D', '1'};

struct EvidenceFile {
  std::array<std::uint8_t, 8> magic = kFileMagic;
  Hash cluster_id{};
  KeptEvidence kept;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("magic", s.magic);
    v.field("cluster_id", s.cluster_id);
    v.field("kept", s.kept);
  }
};

tl::unexpected<Error> no_evidence(const std::string& why) {
  return fail(Errc::unverified, "evidence: " + why);
}

// What two statements of one kind must share to be about the same thing, and what they then must
// not differ in.
struct Subject {
  ReplicaId replica = 0;
  Offence offence = Offence::two_proposals;
  View view = 0;
  Seq seq = 0;
  std::uint64_t epoch = 0;
  Hash content{};
  bool same_as(const Subject& o) const {
    return replica == o.replica && offence == o.offence && view == o.view && seq == o.seq &&
           epoch == o.epoch;
  }
};

Subject subject(const config::Config& config, const SignedProposal& m) {
  const Proposal& p = m.proposal;
  return {config.primary(p.view), Offence::two_proposals, p.view, p.seq, 0, p.digest};
}
Subject subject(const config::Config&, const Prepare& m) {
  const Proposal& p = m.proposal;
  return {m.replica, Offence::two_prepares, p.view, p.seq, 0, p.digest};
}
Subject subject(const config::Config&, const RootShare& m) {
  return {m.replica, Offence::two_shares, 0, m.body.seq, m.body.epoch, m.body.digest()};
}
Subject subject(const config::Config&, const ViewChange& m) {
  return {m.replica, Offence::two_view_changes, m.new_view, 0, 0, m.body_digest()};
}
Subject subject(const config::Config& config, const NewView& m) {
  return {config.primary(m.view), Offence::two_new_views, m.view, 0, 0, m.body_digest()};
}

Accusation accusation(const Subject& s) { return {s.replica, s.offence, s.view, s.seq}; }

struct Claim {
  const config::Config& config;

  template <class T>
  Result<Accusation> operator()(const T& a, const T& b) const {
    const Subject first = subject(config, a);
    const Subject second = subject(config, b);
    if (!first.same_as(second)) return no_evidence("the statements are about different things");
    if (first.content == second.content) return no_evidence("the statements say the same");
    return accusation(first);
  }
  Result<Accusation> operator()(const RootCert&, const RootCert&) const {
    return no_evidence("two certificates accuse nobody");
  }
  Result<Accusation> operator()(const RootShare& share, const RootCert& cert) const {
    if (share.body.seq != cert.body.seq || share.body.epoch != cert.body.epoch)
      return no_evidence("share and certificate are of different sequence numbers");
    if (share.body == cert.body) return no_evidence("the share agrees with the certificate");
    return Accusation{share.replica, Offence::wrong_share, 0, share.body.seq};
  }
  template <class T, class U>
  Result<Accusation> operator()(const T&, const U&) const {
    return no_evidence("statements of these two kinds do not contradict each other");
  }

  Result<Accusation> operator()(const ViewChange& m) const {
    return Accusation{m.replica, Offence::unproven_view_change, m.new_view, 0};
  }
  Result<Accusation> operator()(const NewView& m) const {
    return Accusation{config.primary(m.view), Offence::malformed_new_view, m.view, 0};
  }
  template <class T>
  Result<Accusation> operator()(const T&) const {
    return no_evidence("one statement of this kind is no offence");
  }
};

struct Signed {
  const crypto::Verifier& verifier;
  const crypto::Context& context;
  const config::Config& config;
  ReplicaId replica;

  bool operator()(const RootShare& m) const {
    return m.replica == replica && m.body.cluster_id == context.cluster_id &&
           m.body.epoch == context.epoch && verify_share(verifier, config, m);
  }
  bool operator()(const RootCert& m) const {
    return verify_cert(verifier, context.cluster_id, config, m).has_value();
  }
  template <class T>
  bool operator()(const T& m) const {
    return signed_by(verifier, context, config, replica, m);
  }
};

const char* kind_of(const SignedProposal&) { return "PRE-PREPARE"; }
const char* kind_of(const Prepare&) { return "PREPARE"; }
const char* kind_of(const RootShare&) { return "ROOT-SHARE"; }
const char* kind_of(const ViewChange&) { return "VIEW-CHANGE"; }
const char* kind_of(const NewView&) { return "NEW-VIEW"; }

struct Saying {
  const config::Config& config;

  Said operator()(const RootCert& cert) const {
    return {"ROOT-CERT", cert.signers, 0, cert.body.seq, cert.body.digest()};
  }
  template <class T>
  Said operator()(const T& m) const {
    const Subject s = subject(config, m);
    return {kind_of(m), 1U << s.replica, s.view, s.seq, s.content};
  }
};

}  // namespace

bool valid_value(Offence o) {
  return o >= Offence::two_proposals && o <= Offence::malformed_new_view;
}

const char* offence_name(Offence o) {
  switch (o) {
    case Offence::two_proposals: return "two-proposals";
    case Offence::two_prepares: return "two-prepares";
    case Offence::two_shares: return "two-shares";
    case Offence::two_view_changes: return "two-view-changes";
    case Offence::two_new_views: return "two-new-views";
    case Offence::wrong_share: return "wrong-share";
    case Offence::unproven_view_change: return "unproven-view-change";
    case Offence::malformed_new_view: break;
  }
  return "malformed-new-view";
}

const char* offence_meaning(Offence o) {
  switch (o) {
    case Offence::two_proposals:
    case Offence::two_prepares: return "two batches for one view and sequence number";
    case Offence::two_shares: return "two states for one sequence number";
    case Offence::two_view_changes:
    case Offence::two_new_views: return "two contents for one view";
    case Offence::wrong_share: return "a state that differs from the certified one";
    case Offence::unproven_view_change:
    case Offence::malformed_new_view: break;
  }
  return "a statement whose parts prove nothing";
}

std::string to_string(const Accusation& a) {
  std::string text = "replica " + std::to_string(a.replica) + ": " + offence_name(a.offence);
  if (a.seq != 0) text += ", sequence number " + std::to_string(a.seq);
  if (a.offence != Offence::two_shares && a.offence != Offence::wrong_share)
    text += ", view " + std::to_string(a.view);
  return text;
}

Result<Accusation> claim_of(const config::Config& config, const Evidence& evidence) {
  BFTMETA_ASSIGN(const Accusation a,
                 evidence.second ? std::visit(Claim{config}, evidence.first, *evidence.second)
                                 : std::visit(Claim{config}, evidence.first));
  if (a.replica >= config.n()) return no_evidence("the accused is no member");
  return a;
}

std::uint64_t signatures_in(const config::Config& config, const Evidence& evidence) {
  if (!evidence.second) {
    if (const auto* vc = std::get_if<ViewChange>(&evidence.first))
      return signatures_in(config, *vc);
    if (const auto* nv = std::get_if<NewView>(&evidence.first)) return 1 + nv->proposals.size();
    return 1;
  }
  return std::holds_alternative<RootCert>(*evidence.second) ? 1 + config.quorum() : 2;
}

Result<Accusation> judge(const crypto::Verifier& verifier, const EpochContext& context,
                         const config::Config& config, const Evidence& evidence) {
  BFTMETA_ASSIGN(const Accusation a, claim_of(config, evidence));
  const Signed holds{verifier, context, config, a.replica};
  if (!mutant(Mutant::evidence_unjudged) &&
      (!std::visit(holds, evidence.first) ||
       (evidence.second && !std::visit(holds, *evidence.second))))
    return no_evidence("a signature of replica " + std::to_string(a.replica) + " does not hold");
  if (!evidence.second && !flaw_of(verifier, context, config, evidence.first))
    return no_evidence("the statement is one that a correct replica may sign");
  return a;
}

std::optional<std::string> flaw_of(const crypto::Verifier& verifier, const EpochContext& context,
                                   const config::Config& config, const Statement& statement) {
  Status sound;
  if (const auto* vc = std::get_if<ViewChange>(&statement))
    sound = verify_view_change(verifier, context, config, *vc);
  else if (const auto* nv = std::get_if<NewView>(&statement))
    sound = verify_new_view(verifier, context, config, *nv);
  if (sound) return std::nullopt;
  return sound.error().message;
}

Said said_by(const config::Config& config, const Statement& statement) {
  return std::visit(Saying{config}, statement);
}

std::string evidence_file_name(std::uint64_t epoch, const Accusation& a) {
  return "epoch-" + std::to_string(epoch) + "-replica-" + std::to_string(a.replica) + "-" +
         offence_name(a.offence) + kEvidenceSuffix;
}

Bytes encode_evidence_file(const Hash& cluster_id, const KeptEvidence& kept) {
  return encode(EvidenceFile{kFileMagic, cluster_id, kept});
}

Result<KeptEvidence> decode_evidence_file(const Hash& cluster_id, ByteView bytes) {
  if (bytes.size() > kMaxEvidenceFile) return fail(Errc::malformed, "evidence file: too long");
  if (bytes.size() < kFileMagic.size() || !equal(bytes.first(kFileMagic.size()), kFileMagic))
    return fail(Errc::malformed, "evidence file: it is none");
  BFTMETA_ASSIGN(EvidenceFile file, decode<EvidenceFile>(bytes, "evidence file"));
  if (file.cluster_id != cluster_id)
    return fail(Errc::identity, "evidence file: of cluster " + short_hex(file.cluster_id) +
                                    ", the genesis is that of " + short_hex(cluster_id));
  return std::move(file.kept);
}

}  // namespace bftmeta::messages
