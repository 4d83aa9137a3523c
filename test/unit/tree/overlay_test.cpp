#include <doctest/doctest.h>

#include "model.hpp"
#include "tree/overlay.hpp"

namespace bftmeta::tree::test {
namespace {

// A base whose reads fail from some key on.
class Failing final : public Reader {
 public:
  Failing(const Reader& base, Key from) : base_(base), from_(from) {}
  Found get(const Key& key, Bytes& value) const override {
    return key >= from_ ? Found::unknown : base_.get(key, value);
  }
  bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const override {
    bool stopped = false;
    base_.scan(from, from_, [&](const Key& key, ByteView value) {
      stopped = (to && key >= *to) || !visit(key, value);
      return !stopped;
    });
    return stopped || (to && *to <= from_);
  }
  std::optional<std::uint64_t> count(const Key&) const override { return std::nullopt; }

 private:
  const Reader& base_;
  Key from_;
};

void change(Rng& rng, const KeySource& keys, Overlay& overlay, Model& model) {
  const Key key = keys(rng);
  if (rng() % 3 == 0) {
    overlay.erase(key);
    model.erase(key);
  } else {
    const Bytes value = random_value(rng);
    overlay.put(key, value);
    model[key] = value;
  }
}

TEST_CASE("an overlay reads as its base with the changes, and its updates make the same tree") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const KeySource keys(1 + rng() % 100);
    Model model;
    Result<Version> base = Version::empty().apply(random_batch(rng, model, keys, 150, 0));
    REQUIRE(base);
    Overlay overlay(*base);
    for (int i = 0; i < 100; ++i) change(rng, keys, overlay, model);
    CHECK(same_content(overlay, model));
    for (int i = 0; i < 60; ++i) {
      const Key from = keys(rng);
      const Key to = keys(rng);
      const std::size_t limit = 1 + rng() % 20;
      std::vector<Key> expected;
      for (auto it = model.lower_bound(from);
           it != model.end() && it->first < to && expected.size() < limit; ++it)
        expected.push_back(it->first);
      std::vector<Key> seen;
      CHECK(overlay.scan(from, to, [&](const Key& key, ByteView value) {
        CHECK(equal(value, model[key]));
        seen.push_back(key);
        return seen.size() < limit;
      }));
      CHECK(seen == expected);
      const Key prefix(from.view().first(rng() % (from.size() + 1)));
      CHECK(overlay.count(prefix) == model_count(model, prefix));
    }
    const auto next = base->apply(overlay.take_updates());
    REQUIRE(next);
    CHECK(next->root_hash() == naive_root(model));
    CHECK(overlay.take_updates().empty());
    CHECK_FALSE(overlay.fault());
  }
}

TEST_CASE("savepoints nest: a rollback restores what was read then") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Rng rng(seed);
    const KeySource keys(20);
    Model model;
    Result<Version> base = Version::empty().apply(random_batch(rng, model, keys, 40, 0));
    REQUIRE(base);
    Overlay overlay(*base);
    std::vector<std::pair<Overlay::Savepoint, Model>> saved;
    for (int i = 0; i < 200; ++i) {
      switch (rng() % 8) {
        case 0: saved.emplace_back(overlay.savepoint(), model); break;
        case 1:
          if (!saved.empty()) {
            saved.resize(1 + rng() % saved.size());
            overlay.rollback(saved.back().first);
            model = saved.back().second;
            saved.pop_back();
          }
          break;
        default: change(rng, keys, overlay, model);
      }
    }
    CHECK(same_content(overlay, model));
    const auto next = base->apply(overlay.take_updates());
    REQUIRE(next);
    CHECK(next->root_hash() == naive_root(model));
  }
}

TEST_CASE("a failed read of the base is remembered") {
  Rng rng(1);
  const KeySource keys(50);
  Model model;
  Result<Version> base = Version::empty().apply(random_batch(rng, model, keys, 100, 0));
  REQUIRE(base);
  const Key limit = std::next(model.begin(), 30)->first;
  const Failing failing(*base, limit);
  Bytes value;
  {
    const Overlay overlay(failing);
    CHECK(overlay.get(model.begin()->first, value) == Found::value);
    CHECK(overlay.scan(Key(), limit, [](const Key&, ByteView) { return true; }));
    CHECK_FALSE(overlay.fault());
    CHECK(overlay.get(limit, value) == Found::unknown);
    CHECK(overlay.fault());
  }
  {
    const Overlay overlay(failing);
    CHECK_FALSE(overlay.scan(Key(), std::nullopt, [](const Key&, ByteView) { return true; }));
    CHECK(overlay.fault());
  }
  {
    const Overlay overlay(failing);
    CHECK_FALSE(overlay.count(Key()));
    CHECK(overlay.fault());
  }
}

}  // namespace
}  // namespace bftmeta::tree::test
