// Connections never take the last descriptor.
#include "net/descriptors.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>

using namespace bftmeta::net;

TEST_CASE("three ports leave descriptors for everything else") {
  for (const std::uint64_t descriptors : {512, 1024, 4096, 20'000, 65'536, 1'048'576}) {
    CAPTURE(descriptors);
    const std::size_t each = connections_per_port(descriptors);
    CHECK(3 * each + 256 <= descriptors - descriptors / 8);
    CHECK(each >= kMinConnectionsPerPort);
    CHECK(each <= kMaxConnectionsPerPort);
  }
  CHECK(connections_per_port(1024) == 192);
  CHECK(connections_per_port(1'048'576) == kMaxConnectionsPerPort);
  CHECK(connections_per_port(0) == kMinConnectionsPerPort);
}

TEST_CASE("the limit is what the system lets the process have, and counts") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit low{std::min<rlim_t>(1024, before.rlim_max), before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  CHECK(connections_per_port() == connections_per_port(low.rlim_cur));
  CHECK(raise_descriptor_limit() == before.rlim_max);
  CHECK(connections_per_port() == connections_per_port(before.rlim_max));
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
}
