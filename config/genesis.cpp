#include "config/genesis.hpp"

#include <set>

#include "crypto/signer.hpp"

namespace bftmeta::config {

namespace {

tl::unexpected<Error> bad(const std::string& what) {
  return fail(Errc::config, "configuration: " + what);
}

Status check_port(const Replica& r) {
  if (r.port == 0 || r.port > 65535 - 3)
    return bad("replica " + std::to_string(r.id) + ": port " + std::to_string(r.port) +
               ": a block of four ports must lie in 1..65535");
  return {};
}

Status check_endpoints(const std::vector<Replica>& replicas) {
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    const Replica& a = replicas[i];
    if (a.host.empty()) return bad("replica " + std::to_string(a.id) + ": no host");
    BFTMETA_TRY(check_port(a));
    for (std::size_t k = 0; k < i; ++k) {
      const Replica& b = replicas[k];
      if (a.host == b.host && a.port <= b.port + 3 && b.port <= a.port + 3)
        return bad("replicas " + std::to_string(b.id) + " and " + std::to_string(a.id) +
                   ": ports overlap on " + a.host);
    }
  }
  return {};
}

}  // namespace

Status validate(const Config& config) {
  const std::size_t n = config.replicas.size();
  if (n < 4 || n % 3 != 1)
    return bad(std::to_string(n) +
               " replicas: the number must be n = 3f + 1 and at least 4 (4, 7, 10, ...)");
  if (n > limits::kMaxReplicas)
    return bad(std::to_string(n) + " replicas: at most " + std::to_string(limits::kMaxReplicas) +
               " are supported");
  if (config.protocol_version != 1 || config.sm_version != limits::kSmVersion)
    return bad("unknown protocol or state machine version");
  std::set<PublicKey> keys;
  for (std::size_t i = 0; i < n; ++i) {
    const Replica& r = config.replicas[i];
    const std::string who = "replica " + std::to_string(r.id);
    if (r.id != i) return bad(who + ": ids must count from 0 in order");
    if (!crypto::valid_public_key(r.vote_key))
      return bad(who + ": vote key is not a valid Ed25519 key");
    if (!keys.insert(r.vote_key).second || !keys.insert(r.link_key).second)
      return bad(who + ": a key is used twice; every replica makes its own with 'bftadm keygen'");
  }
  BFTMETA_TRY(check_endpoints(config.replicas));
  if (config.admins.empty()) return bad("no admin: at least one admin card is needed");
  if (config.admin_threshold == 0 || config.admin_threshold > config.admins.size())
    return bad("admin threshold must lie in 1.." + std::to_string(config.admins.size()));
  for (const Admin& a : config.admins) {
    if (!crypto::valid_public_key(a.key))
      return bad("admin '" + a.name + "': not a valid Ed25519 key");
    if (!keys.insert(a.key).second) return bad("admin '" + a.name + "': its key is used twice");
  }
  return {};
}

Status validate(const Genesis& genesis) {
  if (genesis.format != 1) return bad("unknown genesis format " + std::to_string(genesis.format));
  if (genesis.config.epoch != 0) return bad("a genesis has epoch 0");
  BFTMETA_TRY(validate(genesis.config));
  std::set<PublicKey> keys;
  for (const Client& c : genesis.clients) {
    if (!crypto::valid_public_key(c.sign_key))
      return bad("client '" + c.name + "': not a valid Ed25519 key");
    if (!keys.insert(c.sign_key).second || !keys.insert(c.link_key).second)
      return bad("client '" + c.name + "': its key is used twice");
    if (c.rules.uid_first > c.rules.uid_last)
      return bad("client '" + c.name + "': its uid range is empty (uid_first > uid_last)");
  }
  return {};
}

Result<Genesis> decode_genesis(ByteView canonical) {
  BFTMETA_ASSIGN(Genesis genesis, decode<Genesis>(canonical, "genesis"));
  BFTMETA_TRY(validate(genesis));
  return genesis;
}

}  // namespace bftmeta::config
