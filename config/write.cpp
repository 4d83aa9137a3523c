#include "config/load.hpp"
#include "config/names.hpp"
#include "crypto/files.hpp"

namespace bftmeta::config {

namespace {

// Collects "key = value" lines.
class Toml {
 public:
  void comment(const std::string& line) { out_ += "# " + line + "\n"; }
  void table(const char* name) { out_ += "\n[[" + std::string(name) + "]]\n"; }
  void put(const char* key, std::uint64_t value) { raw(key, std::to_string(value)); }
  void put(const char* key, bool value) { raw(key, value ? "true" : "false"); }
  void put(const char* key, std::string_view value) { raw(key, quoted(value)); }
  void put(const char* key, const std::string& value) { raw(key, quoted(value)); }
  void put_hex(const char* key, ByteView value) { raw(key, '"' + to_hex(value) + '"'); }
  void put(const char* key, const std::vector<std::uint32_t>& values) {
    std::string list;
    for (const std::uint32_t v : values) list += (list.empty() ? "" : ", ") + std::to_string(v);
    raw(key, "[" + list + "]");
  }
  Status save(const std::string& path) const {
    return crypto::write_new_file(path, view(out_), crypto::FileMode::public_file);
  }

 private:
  void raw(const char* key, const std::string& value) {
    out_ += std::string(key) + " = " + value + "\n";
  }
  // A basic string of TOML 1.0: quotes, backslashes and control characters are escaped.
  static std::string quoted(std::string_view value) {
    std::string out = "\"";
    for (const char c : value) {
      const auto byte = static_cast<std::uint8_t>(c);
      if (c == '"' || c == '\\')
        out += '\\', out += c;
      else if (byte < 0x20 || byte == 0x7f)
        out += "\\u00" + to_hex({&byte, 1});
      else
        out += c;
    }
    return out + '"';
  }

  std::string out_;
};

void put_admin(Toml& t, const Admin& a) {
  t.put("name", a.name);
  t.put_hex("key", a.key);
}

void put_client(Toml& t, const Client& c) {
  t.put("name", c.name);
  t.put_hex("sign_key", c.sign_key);
  t.put_hex("link_key", c.link_key);
  t.put("gateway", c.rules.gateway);
  t.put("root_squash", c.rules.root_squash);
  t.put("strict", c.rules.strict);
  t.put("uid_first", std::uint64_t{c.rules.uid_first});
  t.put("uid_last", std::uint64_t{c.rules.uid_last});
  t.put("gid", std::uint64_t{c.rules.gid});
  t.put("groups", c.rules.groups);
}

template <class Enum, std::size_t N>
std::string_view word(Enum value, const std::array<std::string_view, N>& names) {
  return names[static_cast<std::size_t>(value)];
}

}  // namespace

Status write_genesis(const std::string& path, const Genesis& g) {
  BFTMETA_TRY(validate(g));
  Toml t;
  t.comment(
      "The genesis of one cluster. Never edit it: every replica and client must hold the same");
  t.comment("content, and the digest (the cluster id) is what people compare on every host.");
  t.put("format", std::uint64_t{g.format});
  t.put_hex("digest", g.cluster_id());
  t.put("name", g.name);
  t.put_hex("nonce", g.nonce);
  t.put("time_us", g.time_us);
  t.put("admin_threshold", std::uint64_t{g.config.admin_threshold});
  t.put("protocol_version", std::uint64_t{g.config.protocol_version});
  t.put("sm_version", std::uint64_t{g.config.sm_version});
  for (const Replica& r : g.config.replicas) {
    t.table("replica");
    t.put("id", std::uint64_t{r.id});
    t.put("host", r.host);
    t.put("port", std::uint64_t{r.port});
    t.put_hex("vote_key", r.vote_key);
    t.put_hex("link_key", r.link_key);
  }
  for (const Admin& a : g.config.admins) t.table("admin"), put_admin(t, a);
  for (const Client& c : g.clients) t.table("client"), put_client(t, c);
  return t.save(path);
}

Status write_replica(const std::string& path, const ReplicaSettings& s) {
  Toml t;
  t.put("id", std::uint64_t{s.id});
  t.put("genesis", s.genesis);
  t.put("data_dir", s.data_dir);
  t.put("vote_key", s.vote_key);
  t.put("link_key", s.link_key);
  if (!s.card.empty()) t.put("card", s.card);
  if (!s.listen_host.empty()) t.put("listen_host", s.listen_host);
  t.put("status_host", s.status_host);
  t.put("log_level", word(s.log_level, kLogLevels));
  t.put("log_segment_bytes", s.log_segment_bytes);
  t.put("log_retain_bytes", s.log_retain_bytes);
  t.put("lmdb_map_bytes", s.lmdb_map_bytes);
  t.put("flush_interval_ms", std::uint64_t{s.flush_interval_ms});
  t.put("flush_dirty_bytes", s.flush_dirty_bytes);
  t.put("flush_batches", std::uint64_t{s.flush_batches});
  t.put("scrub_bytes_per_s", s.scrub_bytes_per_s);
  t.put("flush_slice_us", std::uint64_t{s.flush_slice_us});
  t.put("state_fetch_rate", s.state_fetch_rate);
  t.put("block_fetch_rate", s.block_fetch_rate);
  t.put("block_check_interval_s", std::uint64_t{s.block_check_interval_s});
  return t.save(path);
}

Status write_client(const std::string& path, const ClientSettings& s) {
  Toml t;
  t.put("genesis", s.genesis);
  t.put("sign_key", s.sign_key);
  t.put("link_key", s.link_key);
  if (!s.admin_key.empty()) t.put("admin_key", s.admin_key);
  if (!s.state_file.empty()) t.put("state_file", s.state_file);
  t.put("timeout_ms", std::uint64_t{s.timeout_ms});
  t.put("read_mode", word(s.read_mode, kReadModes));
  t.put("log_level", word(s.log_level, kLogLevels));
  for (const EndpointOverride& e : s.endpoints) {
    t.table("endpoint");
    t.put("replica", std::uint64_t{e.replica});
    t.put("host", e.host);
    t.put("port", std::uint64_t{e.port});
  }
  return t.save(path);
}

Status write_card(const std::string& path, const Card& card) {
  Toml t;
  t.comment(
      "Public card, made by 'bftadm keygen'. It holds no secret; who assembles a genesis from it");
  t.comment("compares its fingerprint with its owner.");
  t.put("format", std::uint64_t{1});
  t.put("kind", kCardKinds[card.index()]);
  if (const auto* r = std::get_if<ReplicaCard>(&card)) {
    t.put("host", r->host);
    t.put("port", std::uint64_t{r->port});
    t.put_hex("vote_key", r->vote_key);
    t.put_hex("link_key", r->link_key);
  } else if (const auto* a = std::get_if<Admin>(&card)) {
    put_admin(t, *a);
  } else {
    put_client(t, std::get<Client>(card));
  }
  return t.save(path);
}

}  // namespace bftmeta::config
