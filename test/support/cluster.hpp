// A cluster with fixed keys, for tests and frozen vectors: every key comes from its name, so that
// the same bytes come out everywhere. Keys of no use outside tests.
#pragma once

#include <memory>

#include "config/genesis.hpp"
#include "crypto/link_key.hpp"
#include "crypto/signer.hpp"
#include "messages/agreement.hpp"

namespace bftmeta::test {

inline std::unique_ptr<crypto::Ed25519Signer> test_signer(const std::string& name) {
  return std::make_unique<crypto::Ed25519Signer>(crypto::sha256(view("bftmeta test key: " + name)));
}

inline PublicKey test_link_key(const std::string& name) {
  return crypto::link_key_from_secret(crypto::sha256(view("bftmeta test link key: " + name)))
      .public_key;
}

struct Cluster {
  using Signers = std::vector<std::unique_ptr<crypto::Ed25519Signer>>;

  explicit Cluster(std::uint32_t n, std::uint32_t client_count = 2, std::uint64_t epoch = 0) {
    genesis.nonce = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    genesis.name = "test";
    genesis.time_us = 1'700'000'000'000'000;
    genesis.config.epoch = epoch;
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::string name = "replica " + std::to_string(i);
      replicas.push_back(test_signer(name));
      genesis.config.replicas.push_back({i, replicas[i]->public_key(), test_link_key(name),
                                         "127.0.0.1", static_cast<std::uint16_t>(20000 + 4 * i)});
    }
    admin = test_signer("admin");
    genesis.config.admins.push_back({"admin", admin->public_key()});
    for (std::uint32_t i = 0; i < client_count; ++i) {
      const std::string name = "client " + std::to_string(i);
      clients.push_back(test_signer(name));
      config::ClientRules rules;
      rules.gateway = true;
      rules.root_squash = false;
      rules.uid_last = 0xffffffff;
      genesis.clients.push_back({name, clients[i]->public_key(), test_link_key(name), rules});
    }
    context = {genesis.cluster_id(), epoch};
  }

  const config::Config& config() const { return genesis.config; }
  const crypto::Signer& primary(messages::View view) const {
    return *replicas[config().primary(view)];
  }

  // A certificate of `body` by the replicas in `signers` (bitmap).
  messages::RootCert certify(const messages::CertBody& body, std::uint32_t signers) const {
    messages::RootCert cert;
    cert.body = body;
    cert.signers = signers;
    for (std::uint32_t r = 0; r < config().n(); ++r)
      if ((signers >> r & 1) != 0)
        cert.signatures.push_back(messages::sign_share(*replicas[r], body, r).signature);
    return cert;
  }
  // Signed by the replicas in `signers` of this configuration, and by `members` as those of the
  // next one, whose positions are in `next_signers`.
  messages::RootCert certify_jointly(const messages::CertBody& body, std::uint32_t signers,
                                     const Cluster& members, std::uint32_t next_signers) const {
    messages::RootCert cert = certify(body, signers);
    cert.next_signers = next_signers;
    cert.next_signatures = members.certify(body, next_signers).signatures;
    return cert;
  }
  // The first 2f+1 replicas.
  std::uint32_t quorum_bitmap() const { return (1U << config().quorum()) - 1; }

  // A prepared certificate by the backups in the bitmap (the primary's bit may be set too, which
  // makes it a bad one).
  messages::PreparedCert prepared(const messages::Proposal& proposal, std::uint32_t backups) const {
    messages::PreparedCert p;
    p.proposal = proposal;
    p.primary_signature = messages::sign_pre_prepare(primary(proposal.view), context, proposal);
    p.backups = backups;
    for (std::uint32_t r = 0; r < config().n(); ++r)
      if ((backups >> r & 1) != 0)
        p.signatures.push_back(
            messages::sign_prepare(*replicas[r], context, proposal, r).signature);
    return p;
  }
  // The first 2f backups of the view.
  std::uint32_t backups_bitmap(messages::View view) const {
    std::uint32_t bits = 0;
    std::uint32_t left = 2 * config().f();
    for (std::uint32_t r = 0; r < config().n() && left > 0; ++r)
      if (r != config().primary(view)) bits |= 1U << r, --left;
    return bits;
  }

  config::Genesis genesis;
  Signers replicas;
  Signers clients;
  std::unique_ptr<crypto::Ed25519Signer> admin;
  crypto::Ed25519Verifier verifier;
  crypto::Context context;
};

}  // namespace bftmeta::test
