// Batch headers, root shares and root certificates (protocol §1.3, §4; architecture §5). A CertBody
// holds no view, no primary and nothing local: replicas that committed a batch in different views
// produce identical bytes. Frozen by test/vectors/certificates. Thread-safety: plain values.
#pragma once

#include "messages/batch.hpp"

namespace bftmeta::messages {

struct BatchHeader {
  Seq seq = 0;
  Hash batch_digest{};
  std::uint64_t time_us = 0;  // exec_time, not the proposed time (§2.5)
  Hash reply_root{};
  std::uint32_t reply_count = 0;
  Hash state_root{};

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("seq", s.seq);
    v.field("batch_digest", s.batch_digest);
    v.field("time_us", s.time_us);
    v.field("reply_root", s.reply_root);
    v.field("reply_count", s.reply_count);
    v.field("state_root", s.state_root);
  }
  friend bool operator==(const BatchHeader&, const BatchHeader&) = default;
};

// history_hash(n) = H(0x0d || history_hash(n-1) || H(0x0b || header(n))); history_hash(0) = H(0x0d
// || cluster_id).
Hash history_start(const Hash& cluster_id);
Hash extend_history(const Hash& before, const BatchHeader& header);
// Leaf of the RFC 6962 tree over headers: H(0x0b || header); nodes H(0x0c || left || right).
Hash history_leaf(const BatchHeader& header);
Hash history_node(const Hash& left, const Hash& right);

struct CertBody {
  Hash cluster_id{};
  std::uint64_t epoch = 0;
  Hash config_hash{};
  Hash next_config_hash{};          // zero except at an epoch end
  std::uint64_t epoch_end_seq = 0;  // zero unless scheduled
  Seq seq = 0;
  Hash history_hash{};
  Hash history_root{};
  Hash state_root{};
  Hash reply_root{};
  std::uint32_t reply_count = 0;
  std::uint64_t time_us = 0;
  std::uint32_t sm_version = limits::kSmVersion;

  Hash digest() const { return crypto::hash_of(tags::Domain::cert_body, *this); }

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("cluster_id", s.cluster_id);
    v.field("epoch", s.epoch);
    v.field("config_hash", s.config_hash);
    v.field("next_config_hash", s.next_config_hash);
    v.field("epoch_end_seq", s.epoch_end_seq);
    v.field("seq", s.seq);
    v.field("history_hash", s.history_hash);
    v.field("history_root", s.history_root);
    v.field("state_root", s.state_root);
    v.field("reply_root", s.reply_root);
    v.field("reply_count", s.reply_count);
    v.field("time_us", s.time_us);
    v.field("sm_version", s.sm_version);
  }
  friend bool operator==(const CertBody&, const CertBody&) = default;
};

// ROOT-SHARE: one replica's signature (tags::kRootShare) over the encoded body.
struct RootShare {
  CertBody body;
  ReplicaId replica = 0;
  Signature signature{};

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("body", s.body);
    v.field("replica", s.replica);
    v.field("signature", s.signature);
  }
  friend bool operator==(const RootShare&, const RootShare&) = default;
};

// ROOT-CERT: exactly Q signatures over the same body, in replica order, and the bitmap of their
// signers. The joint certificate of an epoch end has the same of the next configuration too.
struct RootCert {
  CertBody body;
  std::uint32_t signers = 0;  // bit i: replica i
  std::vector<Signature> signatures;
  std::uint32_t next_signers = 0;
  std::vector<Signature> next_signatures;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("body", s.body);
    v.field("signers", s.signers);
    v.field("signatures", s.signatures, Cap{limits::kMaxReplicas});
    v.field("next_signers", s.next_signers);
    v.field("next_signatures", s.next_signatures, Cap{limits::kMaxReplicas});
  }
  friend bool operator==(const RootCert&, const RootCert&) = default;
};

// One link of the chain of epochs (protocol §9.3): the joint certificate that ends an epoch, and
// the configuration that it names.
struct EpochStep {
  RootCert cert;
  config::Config next;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("cert", s.cert);
    v.field("next", s.next);
  }
  friend bool operator==(const EpochStep&, const EpochStep&) = default;
};

// Bit i: replica i; as in "0,1,3".
std::string replica_list(std::uint32_t replicas);

RootShare sign_share(const crypto::Signer& signer, const CertBody& body, ReplicaId replica);
bool verify_share(const crypto::Verifier& verifier, const config::Config& config,
                  const RootShare& share);
// Everything that a certificate claims: cluster, epoch, config hash, exactly Q sorted distinct
// signers of this config, each signature valid, sm_version known, epoch end consistent, and nothing
// of a next config. `cluster_id` and `config` are the verifier's own, never the certificate's.
Status verify_cert(const crypto::Verifier& verifier, const Hash& cluster_id,
                   const config::Config& config, const RootCert& cert);
// The same of the joint certificate that ends the epoch of `config`: exactly Q signatures of the
// members of `next` as well, whose hash the body names (protocol §9.2).
Status verify_joint_cert(const crypto::Verifier& verifier, const Hash& cluster_id,
                         const config::Config& config, const config::Config& next,
                         const RootCert& cert);
// Without what only a joint one has: what everybody else verifies.
RootCert plain(RootCert joint);

// Reply tree (RFC 6962 shape): one leaf per item of the batch.
Hash reply_leaf(const Id16& session_id, std::uint64_t bundle_no, const Hash& request_digest,
                const Hash& results_digest);
Hash reply_node(const Hash& left, const Hash& right);
Hash results_digest(ByteView encoded_results);  // H(0x0a || results)

}  // namespace bftmeta::messages
