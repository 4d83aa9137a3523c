// How many bundles a batch has: as few as the load allows, without a timer (protocol §2.3).
#include "hand.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;

TEST_CASE("T2.7 one client in a closed loop: each bundle alone in its batch, and no timer") {
  Hand h(4);
  const Id16 session = h.open_session();
  std::vector<std::size_t> sizes;
  h.pass = [&](const Mail& m) {
    if (const auto* p = m.get<PrePrepare>(); p && m.to == 1) sizes.push_back(p->batch.items.size());
    return true;
  };
  h.run(kSecond);
  const std::uint64_t began = h.now_us;
  constexpr std::uint64_t kBundles = 100;
  for (std::uint64_t number = 1; number <= kBundles; ++number) {
    h.submit(0, h.bundle(session, number));
    CHECK(std::ranges::any_of(h.mail, [](const Mail& m) { return m.get<PrePrepare>(); }));
    h.deliver();
    CHECK(h.machine(0).last_bundle(session) == number);
  }
  CHECK(h.now_us == began);
  CHECK(sizes == std::vector<std::size_t>(kBundles, 1));
}

TEST_CASE("T2.7 256 clients in a closed loop: more than 64 bundles in the mean batch") {
  constexpr std::size_t kClients = 256;
  constexpr std::uint64_t kBundles = 20;
  Hand h(4);
  std::vector<Id16> sessions;
  for (std::size_t c = 0; c < kClients; ++c)
    sessions.push_back(h.open_session(static_cast<std::uint8_t>(c)));
  std::vector<std::uint64_t> sent(kClients, 0);
  std::size_t batches = 0;
  std::size_t bundles = 0;
  h.pass = [&](const Mail& m) {
    if (const auto* p = m.get<PrePrepare>(); p && m.to == 1) {
      ++batches;
      bundles += p->batch.items.size();
    }
    // Whoever has its answer sends the next.
    for (std::size_t c = 0; c < kClients; ++c)
      if (sent[c] < kBundles && h.machine(0).last_bundle(sessions[c]) == sent[c])
        h.submit(0, h.bundle(sessions[c], ++sent[c]));
    return true;
  };
  const std::uint64_t began = h.now_us;
  h.submit(0, h.bundle(sessions[0], ++sent[0]));
  h.deliver();
  CHECK(h.now_us == began);  // no timer here either
  REQUIRE(bundles == kClients * kBundles);
  CHECK(bundles > 64 * batches);
}
