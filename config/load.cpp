#include "config/load.hpp"

#include <algorithm>
#include <limits>

#include "config/names.hpp"
#include "config/toml_reader.hpp"

namespace bftmeta::config {

namespace {

constexpr auto kOptional = TomlReader::kOptional;
constexpr std::size_t kMaxSmallFile = 64 * 1024;
constexpr std::size_t kMaxGenesisFile = 8 << 20;  // kMaxClients with 32 groups each, generously
constexpr std::uint64_t kMaxU32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kMaxTime = std::numeric_limits<std::int64_t>::max();

bool name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         std::string_view("._@-").find(c) != std::string_view::npos;
}

bool host_character(char c) { return (name_character(c) && c != '@') || c == ':'; }

void read_replica(TomlReader& table, Replica& r) {
  table.integer("id", r.id, 0, limits::kMaxReplicas - 1);
  table.host("host", r.host);
  table.integer("port", r.port, 1, kMaxPort);
  table.hex("vote_key", r.vote_key);
  table.hex("link_key", r.link_key);
}

void read_admin(TomlReader& table, Admin& a) {
  table.name("name", a.name);
  table.hex("key", a.key);
}

void read_client(TomlReader& table, Client& c) {
  table.name("name", c.name);
  table.hex("sign_key", c.sign_key);
  table.hex("link_key", c.link_key);
  table.boolean("gateway", c.rules.gateway);
  table.boolean("root_squash", c.rules.root_squash);
  table.boolean("strict", c.rules.strict);
  table.integer("uid_first", c.rules.uid_first, 0, kMaxU32);
  table.integer("uid_last", c.rules.uid_last, 0, kMaxU32);
  table.integer("gid", c.rules.gid, 0, kMaxU32);
  table.integers("groups", c.rules.groups, limits::kMaxGroups);
}

template <class T>
void read_tables(TomlReader& root, const char* key, std::size_t max_count, TomlReader::Need need,
                 std::vector<T>& out, void (*read)(TomlReader&, T&)) {
  for (TomlReader& table : root.tables(key, max_count, need)) {
    read(table, out.emplace_back());
    table.done();
  }
}

template <class Enum, std::size_t N>
void read_enum(TomlReader& table, const char* key, Enum& out,
               const std::array<std::string_view, N>& names) {
  auto position = static_cast<std::size_t>(out);
  table.choice(key, position, names, kOptional);
  out = static_cast<Enum>(position);
}

// Positive and in whole pages, as the log and LMDB need it.
void read_size(TomlReader& table, const char* key, std::uint64_t& out, std::uint64_t min) {
  constexpr std::uint64_t kPage = 4096;
  table.integer(key, out, min, 1ULL << 46, kOptional);
  if (out % kPage != 0)
    table.reject(key, "wrong value " + std::to_string(out), "a multiple of 4096 (bytes)");
}

}  // namespace

bool valid_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, name_character);
}

bool valid_host(const std::string& host) {
  return !host.empty() && host.size() <= limits::kMaxHost && host.front() != '-' &&
         std::ranges::all_of(host, host_character);
}

Result<Genesis> load_genesis(const std::string& path) {
  BFTMETA_ASSIGN(TomlReader root, TomlReader::open(path, "genesis", kMaxGenesisFile));
  Genesis g;
  Hash digest{};
  root.integer("format", g.format, 1, 1);
  root.hex("digest", digest);
  root.name("name", g.name);
  root.hex("nonce", g.nonce);
  root.integer("time_us", g.time_us, 0, kMaxTime);
  root.integer("admin_threshold", g.config.admin_threshold, 1, limits::kMaxAdmins);
  root.integer("protocol_version", g.config.protocol_version, 1, 1);
  root.integer("sm_version", g.config.sm_version, limits::kSmVersion, limits::kSmVersion);
  read_tables(root, "replica", limits::kMaxReplicas, TomlReader::kRequired, g.config.replicas,
              read_replica);
  read_tables(root, "admin", limits::kMaxAdmins, TomlReader::kRequired, g.config.admins,
              read_admin);
  read_tables(root, "client", limits::kMaxClients, kOptional, g.clients, read_client);
  BFTMETA_TRY(root.finish());
  if (const Status valid = validate(g); !valid) return fail(path, valid.error());
  if (g.cluster_id() != digest) {
    root.reject("digest", "the content has digest " + to_hex(g.cluster_id()),
                "the digest of the content: the file was edited, cut short or damaged after "
                "'bftadm genesis' wrote it; fetch it again and compare the digest with the other "
                "hosts");
    BFTMETA_TRY(root.so_far());
  }
  return g;
}

Result<ReplicaSettings> load_replica(const std::string& path) {
  BFTMETA_ASSIGN(TomlReader root, TomlReader::open(path, "replica configuration", kMaxSmallFile));
  ReplicaSettings s;
  root.integer("id", s.id, 0, limits::kMaxReplicas - 1);
  root.path("genesis", s.genesis);
  root.path("data_dir", s.data_dir);
  root.path("vote_key", s.vote_key);
  root.path("link_key", s.link_key);
  root.path("card", s.card, kOptional);
  root.host("listen_host", s.listen_host, kOptional);
  root.host("status_host", s.status_host, kOptional);
  read_enum(root, "log_level", s.log_level, kLogLevels);
  read_size(root, "log_segment_bytes", s.log_segment_bytes, 4ULL << 20);
  read_size(root, "log_retain_bytes", s.log_retain_bytes, 0);
  read_size(root, "lmdb_map_bytes", s.lmdb_map_bytes, 64ULL << 20);
  root.integer("flush_interval_ms", s.flush_interval_ms, 10, 600'000, kOptional);
  read_size(root, "flush_dirty_bytes", s.flush_dirty_bytes, 1ULL << 20);
  root.integer("flush_batches", s.flush_batches, 1, 1'000'000, kOptional);
  root.integer("scrub_bytes_per_s", s.scrub_bytes_per_s, 0, 64ULL << 20, kOptional);
  root.integer("flush_slice_us", s.flush_slice_us, 100, 1'000'000, kOptional);
  read_size(root, "state_fetch_rate", s.state_fetch_rate, 64ULL << 10);
  read_size(root, "block_fetch_rate", s.block_fetch_rate, 64ULL << 10);
  root.integer("block_check_interval_s", s.block_check_interval_s, 0, 366 * 86'400, kOptional);
  BFTMETA_TRY(root.finish());
  return s;
}

Result<ClientSettings> load_client(const std::string& path) {
  BFTMETA_ASSIGN(TomlReader root, TomlReader::open(path, "client configuration", kMaxSmallFile));
  ClientSettings s;
  root.path("genesis", s.genesis);
  root.path("sign_key", s.sign_key);
  root.path("link_key", s.link_key);
  root.path("admin_key", s.admin_key, kOptional);
  root.path("state_file", s.state_file, kOptional);
  root.integer("timeout_ms", s.timeout_ms, 100, 3'600'000, kOptional);
  read_enum(root, "read_mode", s.read_mode, kReadModes);
  read_enum(root, "log_level", s.log_level, kLogLevels);
  for (TomlReader& table : root.tables("endpoint", limits::kMaxReplicas, kOptional)) {
    EndpointOverride& e = s.endpoints.emplace_back();
    table.integer("replica", e.replica, 0, limits::kMaxReplicas - 1);
    table.host("host", e.host);
    table.integer("port", e.port, 1, kMaxPort);
    if (std::ranges::count(s.endpoints, e.replica, &EndpointOverride::replica) > 1)
      table.reject("replica", "given twice", "one [[endpoint]] per replica");
    table.done();
  }
  BFTMETA_TRY(root.finish());
  return s;
}

Result<Card> load_card(const std::string& path) {
  BFTMETA_ASSIGN(TomlReader root, TomlReader::open(path, "card", kMaxSmallFile));
  std::uint8_t format = 1;
  std::size_t kind = 0;
  root.integer("format", format, 1, 1);
  root.choice("kind", kind, kCardKinds);
  BFTMETA_TRY(root.so_far());
  Card card;
  if (kind == 0) {
    auto& c = card.emplace<ReplicaCard>();
    root.host("host", c.host);
    root.integer("port", c.port, 1, kMaxPort);
    root.hex("vote_key", c.vote_key);
    root.hex("link_key", c.link_key);
  } else if (kind == 1) {
    read_admin(root, card.emplace<Admin>());
  } else {
    read_client(root, card.emplace<Client>());
  }
  BFTMETA_TRY(root.finish());
  return card;
}

}  // namespace bftmeta::config
