// 43 and 58: a lie in the format's own words is refused by the verifier, or shows nothing; a
// mutated message is still a message.
#include <doctest/doctest.h>

#include <set>

#include "adversary/mutate.hpp"
#include "adversary/proof_parts.hpp"
#include "adversary/strategies.hpp"
#include "support/cluster.hpp"
#include "tree/recorder.hpp"

using namespace bftmeta;
using adversary::ProofLie;

namespace {

Key key_of(std::uint8_t directory, std::uint8_t entry) {
  Key key;
  key.append_u8(0x10).append_be64(directory).append_u8(entry);
  return key;
}
Key directory_of(std::uint8_t directory) {
  Key key;
  key.append_u8(0x10).append_be64(directory);
  return key;
}

// Four directories of eight entries; a proof of a whole one, of a single entry and of an absence.
struct Fixture {
  Fixture() {
    std::vector<tree::Update> updates;
    for (std::uint8_t d = 0; d < 4; ++d)
      for (std::uint8_t e = 0; e < 8; ++e)
        updates.push_back({key_of(d, static_cast<std::uint8_t>(2 * e)), Bytes{d, e}});
    const auto made = tree::Version::empty().apply(updates);
    REQUIRE(made.has_value());
    root = made->root_hash();
    const tree::Recorder recorder(*made);
    look(recorder, true);
    const auto cut = tree::prove(recorder);
    REQUIRE(cut.has_value());
    proof = *cut;
  }

  // False: something could not be seen. With `complete`, what is seen is checked.
  static bool look(const tree::Reader& reader, bool complete) {
    Bytes value;
    std::size_t entries = 0;
    const Key all = directory_of(1);
    bool known = reader.scan(all, all.prefix_end(), [&](const Key&, ByteView) {
      ++entries;
      return true;
    });
    const auto single = reader.get(key_of(2, 6), value);
    const auto none = reader.get(key_of(3, 7), value);
    known = known && single != tree::Found::unknown && none != tree::Found::unknown;
    if (complete || known) {
      CHECK(entries == 8);
      CHECK(single == tree::Found::value);
      CHECK(none == tree::Found::absent);
    }
    return known;
  }

  Hash root;
  Bytes proof;
};

}  // namespace

TEST_CASE("43 no lie about a proof gets past the root, but for one that shows nothing") {
  const Fixture f;
  std::map<ProofLie, std::size_t> told;
  for (std::uint64_t seed = 1; seed <= 600; ++seed) {
    sim::Random random(seed);
    const auto lie = static_cast<ProofLie>(seed % adversary::kProofLies);
    const auto forged = adversary::forge_proof(f.proof, lie, random);
    if (!forged) continue;
    ++told[lie];
    const auto parsed = tree::PartialTree::parse(*forged);
    if (!parsed || parsed->root_hash() != f.root) continue;
    CAPTURE(seed);
    CHECK(lie == ProofLie::truncate);
    CHECK_FALSE(Fixture::look(*parsed, false));
  }
  CHECK(told.size() == adversary::kProofLies);
}

TEST_CASE("41 a partial tree with nothing opened below its root hashes alike and shows nothing") {
  const Fixture f;
  const auto closed = adversary::closed_partial_tree(f.proof);
  REQUIRE(closed.has_value());
  CHECK(closed->size() < f.proof.size());
  const auto parsed = tree::PartialTree::parse(*closed);
  REQUIRE(parsed.has_value());
  CHECK(parsed->root_hash() == f.root);
  CHECK(parsed->leaf_count() == 32);
  CHECK_FALSE(Fixture::look(*parsed, false));
  CHECK_FALSE(adversary::closed_partial_tree(*closed).has_value());
  sim::Random random(1);
  const auto altered = adversary::altered_leaf(f.proof, random);
  REQUIRE(altered.has_value());
  const auto other = tree::PartialTree::parse(*altered);
  REQUIRE(other.has_value());
  CHECK(other->root_hash() != f.root);
  CHECK_FALSE(adversary::altered_leaf(*closed, random).has_value());
}

TEST_CASE("58 a mutated message still encodes, and every place of it can change") {
  const test::Cluster cluster(4);
  messages::ViewChange vc;
  vc.new_view = 3;
  vc.replica = 1;
  vc.base.emplace();
  vc.base->signatures.resize(3);
  vc.prepared.resize(2);
  vc.prepared[0].signatures.resize(2);
  messages::HistoryData history;
  history.headers.resize(2);
  history.batches.resize(1);
  history.batches[0].items.resize(2);
  const std::vector<messages::PeerMessage> originals = {
      vc, history, messages::PeerStatus{}, messages::FetchNewView{}, messages::Prepare{}};
  adversary::Pool pool;
  sim::Random random(1);
  for (const messages::PeerMessage& original : originals) {
    CAPTURE(messages::message_name(original));
    messages::PeerMessage copy = original;
    adversary::Mutator counter(pool, random, adversary::Mutator::kNone);
    counter.visit(copy);
    CHECK(copy == original);
    for (std::size_t place = 0; place < counter.places(); ++place) {
      bool changed = false;
      for (int i = 0; i < 40; ++i) {
        messages::PeerMessage m = original;
        adversary::Mutator(pool, random, place).visit(m);
        changed = changed || m != original;
        const auto decoded = messages::decode_peer_frame(
            cluster.context, messages::encode_frame(cluster.context, m));
        REQUIRE(decoded.has_value());
        CHECK(*decoded == m);
      }
      CHECK_MESSAGE(changed, "place ", place);
    }
  }
}
