// When a replica verifies root shares (protocol §4.1): at once where somebody waits, else for
// several batches together. Replica 1 of four, a backup of view 0.
#include "lone.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::Commit;
using messages::PrePrepare;
using messages::RootShare;

namespace {

struct Witness : Lone {
  Witness() : Lone(1) {}

  // The next batch is executed, and the shares of replicas 0 and 2 are here too.
  void execute_next() {
    const PrePrepare m = proposal(0, core->executed_seq() + 1, kWall);
    from(0, m);
    sync();
    from(2, prepare(2, m.proposal));
    sync();
    from(0, Commit{m.proposal});
    const auto own = all<RootShare>(from(2, Commit{m.proposal}));
    REQUIRE(own.size() == 1);
    for (const ReplicaId r : {0U, 2U}) from(r, share(r, own.front().body));
    REQUIRE(core->executed_seq() == m.proposal.seq);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Witness, "an idle replica verifies shares at once, a busy one every 10 ms") {
  execute_next();
  CHECK(core->certified_seq() == 1);
  const std::uint64_t first = now_us;
  now_us += 3'000;
  execute_next();
  execute_next();
  CHECK(core->certified_seq() == 1);
  CHECK(core->deadline() == first + Timing{}.lazy_certificate);
  tick_after(6'999);
  CHECK(core->certified_seq() == 1);
  tick_after(1);
  CHECK(announced == std::vector<Seq>{1, 3});
}

TEST_CASE_FIXTURE(Witness, "who waits is not kept waiting") {
  execute_next();
  execute_next();
  REQUIRE(core->certified_seq() == 1);
  feed(event::Wanted{2});
  CHECK(core->certified_seq() == 2);

  // For a batch that is to come.
  feed(event::Wanted{4});
  execute_next();
  CHECK(core->certified_seq() == 3);
  execute_next();
  CHECK(core->certified_seq() == 4);
  execute_next();
  CHECK(core->certified_seq() == 4);

  // A linearizable read.
  feed(event::Fresh{7, messages::Fresh{{1}, 0, 0}});
  CHECK(core->certified_seq() == 5);
  REQUIRE(answers.size() == 1);
  CHECK(answers.front().cert->body.seq == 5);
}

TEST_CASE_FIXTURE(Witness, "a client that waits for what is out of reach ends no laziness") {
  execute_next();
  feed(event::Wanted{1 + limits::kWindow + 1});
  execute_next();
  CHECK(core->certified_seq() == 1);
}

TEST_CASE_FIXTURE(Witness, "a certificate is at most eight batches behind") {
  execute_next();
  for (int i = 0; i < 7; ++i) execute_next();
  CHECK(core->certified_seq() == 1);
  execute_next();
  CHECK(announced == std::vector<Seq>{1, 8});  // the newest that had all shares
}

// The tick comes, finds nothing that makes a certificate, and does not come again at once.
TEST_CASE_FIXTURE(Witness, "shares that make no certificate are looked at every 10 ms") {
  execute_next();
  const PrePrepare m = proposal(0, 2, kWall);
  messages::CertBody body;
  body.cluster_id = cluster_id;
  body.config_hash = config.hash();
  body.seq = 2;
  for (const ReplicaId r : {0U, 2U, 3U}) {
    body.state_root[0] = static_cast<std::uint8_t>(r);
    from(r, share(r, body));
  }
  const std::uint64_t due = now_us + Timing{}.lazy_certificate;
  CHECK(core->deadline() == due);
  tick_after(Timing{}.lazy_certificate);
  CHECK(core->certified_seq() == 1);
  CHECK(core->deadline() == due + Timing{}.lazy_certificate);
}
