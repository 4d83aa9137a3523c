// State transfer (protocol §7.7): subtrees of the state trie by hash. Link-authenticated; what is
// inside proves itself: a fragment by the hash that it was asked for, a certified state by its
// certificate. Thread-safety: plain values and pure functions.
#pragma once

#include "messages/agreement.hpp"

namespace bftmeta::messages {

// What a replica must know of a certified state, beside its leaves, to execute the next batch.
struct CertifiedState {
  RootCert cert;
  BatchHeader header;     // of the certificate's seq
  Hash history_before{};  // history_hash(seq - 1)

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("cert", s.cert);
    v.field("header", s.header);
    v.field("history_before", s.history_before);
  }
  friend bool operator==(const CertifiedState&, const CertifiedState&) = default;
};

// The leaves whose keys begin with the first `bits` bits of `prefix`, as the subtree with this
// hash. bits == 0 is the whole state: then it is the state root, as a certificate names it.
struct SubtreeName {
  Key prefix;              // exactly (bits + 7) / 8 bytes, zero padded
  std::uint16_t bits = 0;  // at most 8 x 42
  Hash hash{};

  bool canonical() const;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("prefix", s.prefix, Cap{Key::kMaxSize});
    v.field("bits", s.bits);
    v.field("hash", s.hash);
  }
  friend bool operator==(const SubtreeName&, const SubtreeName&) = default;
};

// FETCH-NODES. Without a subtree: which certified state does the receiver of this serve?
struct FetchNodes {
  std::uint64_t id = 0;  // the asker's choice, repeated in the answer
  std::uint8_t levels =
      0;  // of nodes to be opened in each; 255: as many as the answer has room for
  std::vector<SubtreeName> subtrees;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("id", s.id);
    v.field("levels", s.levels);
    v.field("subtrees", s.subtrees, Cap{limits::kMaxSubtrees});
  }
  friend bool operator==(const FetchNodes&, const FetchNodes&) = default;
};

// A partial tree (docs/formats/tree.md) whose root is the subtree; empty: GONE, its sender serves
// no state (any more) that has this subtree.
struct Fragment {
  Bytes bytes;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("bytes", s.bytes, Cap{limits::kMaxProof});
  }
  friend bool operator==(const Fragment&, const Fragment&) = default;
};

// NODES, the answer.
struct NodesData {
  std::uint64_t id = 0;                 // of the question
  std::optional<CertifiedState> state;  // to a question without subtrees; nullopt: none
  std::vector<Fragment> fragments;      // of the first subtrees that were asked for, in their order

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("id", s.id);
    v.field("state", s.state);
    v.field("fragments", s.fragments, Cap{limits::kMaxSubtrees});
  }
  friend bool operator==(const NodesData&, const NodesData&) = default;
};

// The certificate holds and all else follows from it: the header is of its batch and leads from
// history_before to its history. Q signature checks.
Status verify_certified_state(const crypto::Verifier& verifier, const Hash& cluster_id,
                              const config::Config& config, const CertifiedState& state);
// Only that its header and history lead to the body of its certificate, which is known to hold.
Status verify_state_header(const CertifiedState& state);

}  // namespace bftmeta::messages
