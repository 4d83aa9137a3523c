// How many connections a port may have, by how many descriptors the process may have: connections
// need no key before they are counted, so they must never take the last descriptor, which a log
// segment or a link would need. Thread-safety: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bftmeta::net {

constexpr std::size_t kMaxConnectionsPerPort = 8192;
constexpr std::size_t kMinConnectionsPerPort = 32;  // fewer would not serve a small cluster

// The process may have as many as the system lets it have from now on; that many. For a program
// that listens, before it does.
std::uint64_t raise_descriptor_limit();

// Three ports, and some for everything else; a quarter stays free for connections that come
// between two looks of ConnectionAudit.
std::size_t connections_per_port(std::uint64_t descriptors);
// By what this process may have now.
std::size_t connections_per_port();

}  // namespace bftmeta::net
