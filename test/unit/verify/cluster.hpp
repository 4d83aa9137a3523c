// The certificates and replies that a cluster would make, without running one: what a verifier's
// tests forge from. Keys are fixed, so every byte is reproducible.
#pragma once

#include "messages/merkle.hpp"
#include "support/cluster.hpp"
#include "verify/reply.hpp"

#include "filled.hpp"

namespace bftmeta::verify::testing {

struct Cluster : test::Cluster {
  // Clusters of different `salt` have the same keys and another genesis.
  explicit Cluster(std::uint8_t salt = 1) : test::Cluster(4) { genesis.nonce[0] = salt; }

  TrustAnchor anchor() const { return TrustAnchor::of(genesis); }

  messages::CertBody body(messages::Seq seq) const {
    messages::CertBody b;
    b.cluster_id = genesis.cluster_id();
    b.config_hash = genesis.config.hash();
    b.seq = seq;
    b.state_root = filled(static_cast<std::uint8_t>(seq));
    b.time_us = 1'000'000 + seq;
    return b;
  }

  // Signed by the replicas of `signers` (in this order; the bitmap has them all).
  messages::RootCert sign(const messages::CertBody& body,
                          const std::vector<std::uint32_t>& signers) const {
    messages::RootCert cert;
    cert.body = body;
    for (const std::uint32_t r : signers) {
      cert.signers |= 1U << r;
      cert.signatures.push_back(messages::sign_share(*replicas[r], body, r).signature);
    }
    return cert;
  }
  using test::Cluster::certify;
  messages::RootCert certify(const messages::CertBody& body) const {
    return certify(body, quorum_bitmap());
  }
};

// A history of batches, each with a few replies; certificates of any of them.
class Ledger {
 public:
  struct Outcome {
    Expected expected;
    schema::BundleResult result;
  };

  explicit Ledger(const Cluster& cluster)
      : cluster_(cluster), history_{messages::history_start(cluster.genesis.cluster_id())} {}

  // The next batch; its state root is `state_root`.
  messages::Seq append(const std::vector<Outcome>& outcomes, const Hash& state_root = filled(7)) {
    std::vector<Hash> leaves;
    for (const Outcome& o : outcomes)
      leaves.push_back(messages::reply_leaf(o.expected.session_id, o.expected.bundle_no,
                                            o.expected.request_digest,
                                            messages::results_digest(encode(o.result))));
    messages::BatchHeader h;
    h.seq = headers_.size() + 1;
    h.batch_digest = filled(static_cast<std::uint8_t>(h.seq));
    h.time_us = 1'000'000 + h.seq;
    h.reply_root = messages::merkle_root(leaves, messages::reply_node);
    h.reply_count = static_cast<std::uint32_t>(leaves.size());
    h.state_root = state_root;
    history_.push_back(messages::extend_history(history_.back(), h));
    messages::append_history(frontier_, h);
    roots_.push_back(messages::history_root(frontier_));
    headers_.push_back(h);
    outcomes_.push_back(outcomes);
    leaves_.push_back(std::move(leaves));
    return h.seq;
  }

  messages::Seq last() const { return headers_.size(); }

  messages::CertBody body(messages::Seq seq) const {
    const messages::BatchHeader& h = headers_[seq - 1];
    messages::CertBody b = cluster_.body(seq);
    b.history_hash = history_[seq];
    b.history_root = roots_[seq - 1];
    b.state_root = h.state_root;
    b.reply_root = h.reply_root;
    b.reply_count = h.reply_count;
    b.time_us = h.time_us;
    return b;
  }

  // The honest answer for outcome `index` of batch `seq`, under the certificate of `cert_seq`.
  messages::Reply reply(messages::Seq seq, std::size_t index, messages::Seq cert_seq) const {
    const Outcome& o = outcomes_[seq - 1][index];
    messages::Reply r;
    r.request_digest = o.expected.request_digest;
    r.session_id = o.expected.session_id;
    r.bundle_no = o.expected.bundle_no;
    r.results = encode(o.result);
    r.leaf_index = static_cast<std::uint32_t>(index);
    r.path = messages::merkle_path(leaves_[seq - 1], index, messages::reply_node);
    r.history_before = history_[seq - 1];
    for (messages::Seq s = seq; s <= cert_seq; ++s) r.headers.push_back(headers_[s - 1]);
    r.cert = cluster_.certify(body(cert_seq));
    return r;
  }

 private:
  const Cluster& cluster_;
  std::vector<Hash> history_;
  std::vector<messages::BatchHeader> headers_;
  std::vector<std::vector<Outcome>> outcomes_;
  std::vector<std::vector<Hash>> leaves_;
  std::vector<Hash> roots_;
  schema::HistoryFrontier frontier_;
};

// Counts signature checks, so that tests can say what a cache saves.
class CountingVerifier final : public crypto::Verifier {
 public:
  bool verify(const PublicKey& key, ByteView preimage, const Signature& signature) const override {
    ++checks;
    return real_.verify(key, preimage, signature);
  }
  mutable std::size_t checks = 0;

 private:
  crypto::Ed25519Verifier real_;
};

}  // namespace bftmeta::verify::testing
