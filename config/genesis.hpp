// Genesis and Config as values in canonical form. The TOML files that people write are loaded by
// config/load.hpp into these; nothing here does I/O. Thread-safety: plain values.
#pragma once

#include "base/codec.hpp"
#include "base/limits.hpp"
#include "crypto/hash.hpp"

namespace bftmeta::config {

struct Replica {
  std::uint32_t id = 0;    // position in the member list, counted from 0
  PublicKey vote_key{};    // Ed25519
  PublicKey link_key{};    // Curve25519 (CURVE)
  std::string host;        // DNS name or address literal
  std::uint16_t port = 0;  // first of a block of four: peers, clients, blocks, metrics

  std::uint16_t peer_port() const { return port; }
  std::uint16_t client_port() const { return static_cast<std::uint16_t>(port + 1); }
  std::uint16_t block_port() const { return static_cast<std::uint16_t>(port + 2); }
  std::uint16_t metrics_port() const { return static_cast<std::uint16_t>(port + 3); }

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("id", s.id);
    v.field("vote_key", s.vote_key);
    v.field("link_key", s.link_key);
    v.field("host", s.host, Cap{limits::kMaxHost});
    v.field("port", s.port);
  }
  friend bool operator==(const Replica&, const Replica&) = default;
};

struct Admin {
  std::string name;
  PublicKey key{};  // Ed25519

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("name", s.name, Cap{64});
    v.field("key", s.key);
  }
  friend bool operator==(const Admin&, const Admin&) = default;
};

// What a client key may do. A gateway acts for many users: uid and gid of each request are taken
// from the request if the uid is inside [uid_first, uid_last]; others are always (uid_first, gid).
struct ClientRules {
  bool gateway = false;
  bool root_squash = true;  // uid 0 becomes 65534
  bool strict = false;      // targets must start at the root directory (protocol §10)
  std::uint32_t uid_first = 0;
  std::uint32_t uid_last = 0;
  std::uint32_t gid = 0;              // of a non-gateway
  std::vector<std::uint32_t> groups;  // supplementary, of a non-gateway

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("gateway", s.gateway);
    v.field("root_squash", s.root_squash);
    v.field("strict", s.strict);
    v.field("uid_first", s.uid_first);
    v.field("uid_last", s.uid_last);
    v.field("gid", s.gid);
    v.field("groups", s.groups, Cap{limits::kMaxGroups});
  }
  friend bool operator==(const ClientRules&, const ClientRules&) = default;
};

struct Client {
  std::string name;
  PublicKey sign_key{};  // Ed25519
  PublicKey link_key{};  // Curve25519
  ClientRules rules;

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("name", s.name, Cap{64});
    v.field("sign_key", s.sign_key);
    v.field("link_key", s.link_key);
    v.field("rules", s.rules);
  }
  friend bool operator==(const Client&, const Client&) = default;
};

// The replicated configuration of one epoch; its hash is in every certificate.
struct Config {
  std::uint64_t epoch = 0;
  std::vector<Replica> replicas;  // n = 3f + 1, ids 0..n-1 in order
  std::vector<Admin> admins;
  std::uint32_t admin_threshold = 1;
  std::uint32_t protocol_version = 1;
  std::uint32_t sm_version = limits::kSmVersion;

  std::uint32_t n() const { return static_cast<std::uint32_t>(replicas.size()); }
  std::uint32_t f() const { return (n() - 1) / 3; }
  std::uint32_t quorum() const { return 2 * f() + 1; }   // Q
  std::uint32_t weak_quorum() const { return f() + 1; }  // W: at least one correct
  std::uint32_t primary(std::uint64_t view) const {
    return static_cast<std::uint32_t>((view + epoch) % n());
  }
  Hash hash() const { return crypto::hash_of(tags::Domain::config, *this); }

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("epoch", s.epoch);
    v.field("replicas", s.replicas, Cap{limits::kMaxReplicas});
    v.field("admins", s.admins, Cap{limits::kMaxAdmins});
    v.field("admin_threshold", s.admin_threshold);
    v.field("protocol_version", s.protocol_version);
    v.field("sm_version", s.sm_version);
  }
  friend bool operator==(const Config&, const Config&) = default;
};

struct Genesis {
  std::uint8_t format = 1;
  Id16 nonce{};  // random: two clusters never share an id
  std::string name;
  std::uint64_t time_us = 0;  // agreed time starts here
  Config config;              // epoch 0
  std::vector<Client> clients;

  // cluster_id: what people compare on every host ("genesis digest").
  Hash cluster_id() const { return crypto::hash_of(tags::Domain::genesis, *this); }

  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("format", s.format);
    v.field("nonce", s.nonce);
    v.field("name", s.name, Cap{64});
    v.field("time_us", s.time_us);
    v.field("config", s.config);
    v.field("clients", s.clients, Cap{limits::kMaxClients});
  }
  friend bool operator==(const Genesis&, const Genesis&) = default;
};

// n = 3f+1 and n >= 4, ids in order, keys valid and all different, threshold within the admins,
// port blocks inside 1..65535, no two replicas on the same host and overlapping ports, format and
// versions known.
Status validate(const Genesis& genesis);
Status validate(const Config& config);

// The canonical bytes, strictly decoded and validated.
Result<Genesis> decode_genesis(ByteView canonical);

}  // namespace bftmeta::config
