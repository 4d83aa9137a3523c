// What belongs to one process and is not replicated: where files lie, how much to log. The values
// of replica.toml and client.toml (config/load.hpp). Paths are absolute or relative to the working
// directory of the process, never to the file any more. Thread-safety: plain values.
#pragma once

#include <vector>

#include "config/genesis.hpp"

namespace bftmeta::config {

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error };

// Sizes for clusters that share one machine (`bftadm dev`, tests).
constexpr std::uint64_t kDevLogSegmentBytes = 8ULL << 20;
constexpr std::uint64_t kDevLmdbMapBytes = 64ULL << 30;  // of address space
constexpr std::uint64_t kDevStateFetchRate = 8ULL << 20;

struct ReplicaSettings {
  std::uint32_t id = 0;  // its name in logs, and its position in the genesis if it is there
  std::string genesis;   // path of genesis.toml
  std::string data_dir;  // made by keygen, with the store identity in it
  std::string vote_key;  // paths of key files
  std::string link_key;
  // Card of this replica, if it may start before it is a member; empty: then it refuses to.
  std::string card;
  std::string listen_host;  // address to bind; empty: the host that the genesis gives this replica
  std::string status_host = "127.0.0.1";  // address of the metrics port
  LogLevel log_level = LogLevel::info;

  std::uint64_t log_segment_bytes = 64ULL << 20;
  std::uint64_t log_retain_bytes = 256ULL << 20;  // kept for lagging peers
  std::uint64_t lmdb_map_bytes = 1ULL << 40;      // address space, not disk
  // A flush to LMDB starts at whichever comes first.
  std::uint32_t flush_interval_ms = 5000;
  std::uint64_t flush_dirty_bytes = 64ULL << 20;
  std::uint32_t flush_batches = 4096;
  std::uint32_t flush_slice_us = 5000;  // longest piece of flush work between two log syncs

  // A state that history does not lead to any more is fetched at this rate at most, of all peers
  // together, in bytes per second.
  std::uint64_t state_fetch_rate = 32ULL << 20;

  // Blocks that certified files name and that are not here are fetched from the other replicas.
  std::uint64_t block_fetch_rate = 32ULL << 20;   // bytes per second; so much is read to check, too
  std::uint32_t block_check_interval_s = 86'400;  // between checks of all of them; 0: none

  // The state store is read and checked at this rate; 0: all of it once a week.
  std::uint64_t scrub_bytes_per_s = 0;

  friend bool operator==(const ReplicaSettings&, const ReplicaSettings&) = default;
};

enum class ReadMode : std::uint8_t {
  verified,      // any certified root not older than what this client has seen
  linearizable,  // ... nor than anything that had completed anywhere when it began
};

// Where to reach a replica when the host and port of the genesis are not reachable from here.
struct EndpointOverride {
  std::uint32_t replica = 0;
  std::string host;
  std::uint16_t port = 0;  // first of the block of four

  friend bool operator==(const EndpointOverride&, const EndpointOverride&) = default;
};

// The members where they are reached from here. Overrides of positions that are none say nothing.
Config reached_at(Config config, const std::vector<EndpointOverride>& endpoints);

struct ClientSettings {
  std::string genesis;   // path of genesis.toml
  std::string sign_key;  // paths of key files
  std::string link_key;
  std::string admin_key;  // empty, or the key that signs admin operations
  // Where the newest certificate and the way to the members of today are kept; empty: nowhere.
  std::string state_file;
  std::vector<EndpointOverride> endpoints;
  std::uint32_t timeout_ms = 30000;  // of one operation, retries and fail-over included
  ReadMode read_mode = ReadMode::verified;
  LogLevel log_level = LogLevel::warn;

  friend bool operator==(const ClientSettings&, const ClientSettings&) = default;
};

}  // namespace bftmeta::config
