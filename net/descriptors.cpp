#include "net/descriptors.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace bftmeta::net {

namespace {
// Files, threads' eventfds, sockets of links and of monitors, with room.
constexpr std::uint64_t kForTheRest = 256;
constexpr std::uint64_t kParts = 4;  // three ports, and what stays free

rlimit limit() {
  rlimit now{};
  getrlimit(RLIMIT_NOFILE, &now);  // cannot fail: the arguments are right
  return now;
}
}  // namespace

std::uint64_t raise_descriptor_limit() {
  rlimit wanted = limit();
  wanted.rlim_cur = wanted.rlim_max;
  setrlimit(RLIMIT_NOFILE, &wanted);  // else the old one holds, and is what counts
  return limit().rlim_cur;
}

std::size_t connections_per_port(std::uint64_t descriptors) {
  const std::uint64_t free = descriptors - std::min(descriptors, kForTheRest);
  return std::clamp<std::size_t>(free / kParts, kMinConnectionsPerPort, kMaxConnectionsPerPort);
}

std::size_t connections_per_port() { return connections_per_port(limit().rlim_cur); }

}  // namespace bftmeta::net
