// HELLO (protocol §3.5): what a replica that starts asks of every peer before it votes, and the
// answer: the highest statement of each kind that the peer holds signed by the asker. Whoever is
// shown a signature of its own that its log does not explain has lost votes. Link-authenticated;
// what is inside proves itself, except COMMIT. Thread-safety: plain values.
#pragma once

#include "messages/agreement.hpp"

namespace bftmeta::messages {

struct Hello {
  Id16 nonce{};  // random, of this start: an old copy of a data directory repeats incarnations
  std::uint64_t incarnation = 0;  // of the store identity, durable before this is sent
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("nonce", s.nonce);
    v.field("incarnation", s.incarnation);
  }
  friend bool operator==(const Hello&, const Hello&) = default;
};

struct SignedProposal {  // a PRE-PREPARE without its batch
  Proposal proposal;
  Signature signature{};  // of primary(view)
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("proposal", s.proposal);
    v.field("signature", s.signature);
  }
  friend bool operator==(const SignedProposal&, const SignedProposal&) = default;
};

// Of one replica: by (view, seq), or by view. At most about 200 KiB with the largest window and
// configuration, a fifth of a frame.
struct HighestStatements {
  std::optional<SignedProposal> pre_prepare;
  std::optional<Prepare> prepare;
  std::optional<Proposal> commit;  // unsigned: a claim
  std::optional<ViewChange> view_change;
  std::optional<NewView> new_view;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("pre_prepare", s.pre_prepare);
    v.field("prepare", s.prepare);
    v.field("commit", s.commit);
    v.field("view_change", s.view_change);
    v.field("new_view", s.new_view);
  }
  friend bool operator==(const HighestStatements&, const HighestStatements&) = default;
};

struct HelloReply {
  Id16 nonce{};                   // of the question
  std::uint64_t incarnation = 0;  // newest earlier start of the asker that was heard: a hint
  HighestStatements yours;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("nonce", s.nonce);
    v.field("incarnation", s.incarnation);
    v.field("yours", s.yours);
  }
  friend bool operator==(const HelloReply&, const HelloReply&) = default;
};

// Did `replica` sign this? Its signature alone is looked at, not whether the rest would convince
// anybody: who signed it knows what it was. Pure.
bool signed_by(const crypto::Verifier& verifier, const crypto::Context& context,
               const config::Config& config, ReplicaId replica, const SignedProposal& m);
bool signed_by(const crypto::Verifier& verifier, const crypto::Context& context,
               const config::Config& config, ReplicaId replica, const Prepare& m);
bool signed_by(const crypto::Verifier& verifier, const crypto::Context& context,
               const config::Config& config, ReplicaId replica, const ViewChange& m);
bool signed_by(const crypto::Verifier& verifier, const crypto::Context& context,
               const config::Config& config, ReplicaId replica, const NewView& m);

}  // namespace bftmeta::messages
