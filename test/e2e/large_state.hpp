// A state that takes a while to fetch: files with extended attributes of the largest size.
#pragma once

#include <doctest/doctest.h>

#include "crypto/signer.hpp"
#include "support/create_load.hpp"
#include "support/process_cluster.hpp"

namespace bftmeta::test {

// So many bytes of values that nothing compresses or finds twice, 50 to a file.
inline void make_large_state(client::Client& client, std::size_t bytes) {
  constexpr std::size_t kEach = 50;
  std::atomic<std::size_t> set{0};
  for (std::size_t done = 0, f = 0; done < bytes; ++f) {
    const std::string name = "large-" + std::to_string(f);
    REQUIRE(client.execute(create_file(name))->code == schema::Code::ok);
    for (std::size_t i = 0; i < kEach; ++i, done += limits::kMaxXattrValue) {
      schema::SetXattr large{{schema::kRootIno, {{to_bytes(name)}}},
                             to_bytes("user." + std::to_string(i)),
                             Bytes(limits::kMaxXattrValue)};
      crypto::random_bytes(large.value);
      client.submit({{}, large}, [&](const auto& r) { set += r && r->code == schema::Code::ok; });
    }
    REQUIRE(within(std::chrono::seconds(60), [&] { return set == (f + 1) * kEach; }));
  }
}

}  // namespace bftmeta::test
