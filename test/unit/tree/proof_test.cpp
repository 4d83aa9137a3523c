#include <doctest/doctest.h>

#include "base/limits.hpp"
#include "model.hpp"
#include "tree/flush.hpp"
#include "tree/memory_page_store.hpp"
#include "tree/recorder.hpp"

namespace bftmeta::tree::test {
namespace {

// Runs a random script of reads and writes down what it saw. The same seed is the same script.
std::string run_script(const Reader& reader, std::uint64_t seed, const KeySource& keys) {
  Rng rng(seed);
  std::string log;
  Bytes value;
  const std::uint64_t steps = rng() % 6;
  for (std::uint64_t i = 0; i < steps; ++i) {
    switch (rng() % 3) {
      case 0: {
        value.clear();
        const Found found = reader.get(keys(rng), value);
        log += "get " + std::to_string(static_cast<int>(found)) + to_hex(value) + '\n';
        break;
      }
      case 1: {
        Key from = keys(rng);
        if (rng() % 2 == 0) from = Key(from.view().first(rng() % from.size()));
        std::optional<Key> to;
        switch (rng() % 4) {
          case 0: to = keys(rng); break;
          case 1: break;
          default: to = from.prefix_end();
        }
        std::uint64_t left = rng() % 2 == 0 ? 1 + rng() % 20 : 1000000;
        const bool known = reader.scan(from, to, [&](const Key& key, ByteView v) {
          log += to_hex(key) + '=' + to_hex(v) + '\n';
          return --left > 0;
        });
        log += known ? "scanned\n" : "unknown\n";
        break;
      }
      default: {
        const Key key = keys(rng);
        const auto n = reader.count(Key(key.view().first(rng() % (key.size() + 1))));
        log += n ? "count " + std::to_string(*n) + '\n' : "unknown\n";
      }
    }
  }
  return log;
}

Version random_version(Rng& rng, const KeySource& keys, std::size_t size, Model& model) {
  Result<Version> v = Version::empty().apply(random_batch(rng, model, keys, size, 0));
  REQUIRE(v);
  return *v;
}

Bytes proof_of(const Recorder& recorder) {
  Result<Bytes> proof = prove(recorder);
  REQUIRE(proof);
  return *proof;
}

TEST_CASE("a script gives the same answers on the partial tree that was made for it") {
  std::size_t smaller = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const KeySource keys(1 + rng() % 200);
    Model model;
    const Version version = random_version(rng, keys, rng() % 150, model);
    const Recorder recorder(version);
    const std::string seen = run_script(recorder, seed, keys);
    CHECK(seen == run_script(version, seed, keys));
    CHECK(seen.find("unknown") == std::string::npos);
    const Bytes proof = proof_of(recorder);
    const Result<PartialTree> partial = PartialTree::parse(proof);
    REQUIRE(partial);
    CHECK(partial->root_hash() == version.root_hash());
    CHECK(partial->state_root(Hash{}, 1) == version.state_root(Hash{}, 1));
    CHECK(partial->leaf_count() == model.size());
    REQUIRE(run_script(*partial, seed, keys) == seen);
    // Whatever else is asked of it: the truth, or unknown.
    Bytes value;
    for (int i = 0; i < 20; ++i) {
      const Key key = keys(rng);
      const auto it = model.find(key);
      const Found found = partial->get(key, value);
      if (found == Found::value) {
        REQUIRE(it != model.end());
        CHECK(value == it->second);
      } else if (found == Found::absent) {
        CHECK(it == model.end());
      }
      const Key prefix(key.view().first(rng() % key.size()));
      if (const auto n = partial->count(prefix)) CHECK(*n == model_count(model, prefix));
      std::vector<Key> listed;
      const auto list = [&](const Key& k, ByteView) {
        listed.push_back(k);
        return true;
      };
      if (partial->scan(prefix, prefix.prefix_end(), list))
        CHECK(listed.size() == model_count(model, prefix));
    }
    if (proof.size() < model.size() * 20) ++smaller;  // leaves are about 40 bytes
  }
  CHECK(smaller > 100);
}

TEST_CASE("a proof from a trimmed version with a store is the same bytes") {
  Rng rng(11);
  const KeySource keys(3000);
  Model model;
  Version head = random_version(rng, keys, 4000, model);
  const Version in_memory = head;
  MemoryPageStore store;
  WriteSet set = begin_flush(head);
  auto writer = store.begin();
  REQUIRE(writer);
  REQUIRE(set.write_some(**writer, SIZE_MAX));
  head = rebase(head, set, *(*writer)->commit(set.root_record(), {}));
  const Result<Version> opened = Version::open(*store.snapshot(), {.pinned_nodes = 4});
  REQUIRE(opened);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Recorder a(in_memory);
    const Recorder b(head);
    const Recorder c(*opened);
    for (const Recorder* r : {&a, &b, &c}) run_script(*r, seed, keys);
    CHECK(proof_of(a) == proof_of(b));
    CHECK(proof_of(a) == proof_of(c));
  }
}

TEST_CASE("no byte of a proof can be changed, added or left out without being noticed") {
  Rng rng(12);
  const KeySource keys(40);
  std::size_t refused = 0;
  std::size_t other_root = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Model model;
    const Version version = random_version(rng, keys, 1 + rng() % 60, model);
    const Recorder recorder(version);
    run_script(recorder, seed, keys);
    const Bytes proof = proof_of(recorder);
    if (proof.size() > 4000) continue;
    const auto check = [&](const Bytes& forged) {
      const Result<PartialTree> partial = PartialTree::parse(forged);
      if (!partial) {
        CHECK(partial.error().code == Errc::unverified);
        ++refused;
      } else {
        REQUIRE(partial->root_hash() != version.root_hash());
        ++other_root;
      }
    };
    for (std::size_t at = 0; at < proof.size(); ++at) {
      for (const int change : {1, 2, 4, 0x80, 0xff}) {
        Bytes forged = proof;
        forged[at] = static_cast<std::uint8_t>(forged[at] ^ change);
        check(forged);
      }
      check(Bytes(proof.begin(), proof.begin() + static_cast<std::ptrdiff_t>(at)));
      Bytes shorter = proof;
      shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(at));
      check(shorter);
    }
    Bytes longer = proof;
    longer.push_back(0);
    check(longer);
  }
  CHECK(refused > 1000);
  CHECK(other_root > 1000);
}

TEST_CASE("values are shown only to whom they were shown before") {
  const Key shown = Key(view("d1/shown"));
  const Key neighbour = Key(view("d1/shows"));
  const Key hidden = Key(view("d2/other"));
  Result<Version> v = Version::empty().apply(updates_of({{shown, to_bytes("AAAA")},
                                                         {neighbour, to_bytes("SECRET1")},
                                                         {hidden, to_bytes("SECRET2")}}));
  REQUIRE(v);
  const Recorder recorder(*v);
  Bytes value;
  CHECK(recorder.get(shown, value) == Found::value);
  CHECK(recorder.get(Key(view("d1/showz")), value) == Found::absent);
  CHECK(recorder.count(Key(view("d1"))) == 2);
  CHECK(recorder.count(Key(view("d2"))) == 1);
  const Bytes proof = proof_of(recorder);
  CHECK(text(proof).find("AAAA") != std::string_view::npos);
  CHECK(text(proof).find("SECRET") == std::string_view::npos);
  const Result<PartialTree> partial = PartialTree::parse(proof);
  REQUIRE(partial);
  CHECK(partial->get(neighbour, value) == Found::unknown);
  CHECK_FALSE(
      partial->scan(Key(view("d1")), Key(view("d2")), [](const Key&, ByteView) { return true; }));
}

TEST_CASE("a proof stays below its limit or is not made; a failed read makes none") {
  std::vector<Update> updates;
  for (std::uint64_t i = 0; i < 600; ++i)
    updates.push_back({Key().append_u8(1).append_be64(i), Bytes(1500, 7)});
  Result<Version> v = Version::empty().apply(updates);
  REQUIRE(v);
  const auto all = [](const Key&, ByteView) { return true; };
  const Recorder everything(*v);
  CHECK(everything.scan(Key(), std::nullopt, all));
  const Result<Bytes> too_large = prove(everything);
  REQUIRE_FALSE(too_large);
  CHECK(too_large.error().code == Errc::limit);
  const Recorder half(*v);
  CHECK(half.scan(Key(), Key().append_u8(1).append_be64(300), all));
  CHECK(proof_of(half).size() < limits::kMaxProof);
  CHECK(PartialTree::parse(Bytes(limits::kMaxProof + 1)).error().code == Errc::limit);

  MemoryPageStore store;
  WriteSet set = begin_flush(*v);
  auto writer = store.begin();
  REQUIRE(set.write_some(**writer, SIZE_MAX));
  REQUIRE((*writer)->commit(set.root_record(), {}));
  store.tamper_leaf(updates[5].key, Bytes(1500, 8));
  const Result<Version> opened = Version::open(*store.snapshot(), {.pinned_nodes = 0});
  REQUIRE(opened);
  const Recorder rotten(*opened);
  Bytes value;
  CHECK(rotten.get(updates[5].key, value) == Found::unknown);
  REQUIRE_FALSE(prove(rotten));
  CHECK(prove(rotten).error().code == Errc::corrupt);
}

}  // namespace
}  // namespace bftmeta::tree::test
