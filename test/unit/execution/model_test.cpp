// The engine's sessions against a second, naive implementation that was written from protocol §8
// alone: plain maps, every rule spelled out, nothing shared with src/execution.
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
namespace keys = schema::keys;

namespace {

struct NaiveSession {
  PublicKey owner{};
  std::uint64_t last = 0, ack = 0, expiry = 0, active = 0;
  std::map<std::uint64_t, Hash> kept;  // number -> request digest
  std::map<std::uint64_t, BundleOutcome> outcomes;
};

struct NaiveAnswer {
  BundleOutcome outcome;
  bool first = false;
  bool mismatch = false;
  Id16 opened{};
};

class NaiveSessions {
 public:
  explicit NaiveSessions(std::uint64_t time) : time_(time) {}

  std::vector<NaiveAnswer> step(const messages::ParsedBatch& batch) {
    ++seq_;
    const std::uint64_t before = time_;
    time_ = std::max(batch.batch.time_us, time_ + 1);
    if (batch.batch.flags == messages::BatchFlags::null) time_ = before + 1;
    lease_time_ += std::min<std::uint64_t>(time_ - before, 2'000'000);
    std::erase_if(sessions, [&](const auto& s) { return s.second.expiry <= lease_time_; });
    std::erase_if(opens_, [&](const auto& o) { return o.second.first < time_; });
    std::vector<NaiveAnswer> answers;
    for (const messages::ParsedItem& item : batch.items)
      answers.push_back(item.bundle() != nullptr ? bundle(*item.bundle(), item.digest)
                                                 : open(*item.session_open()));
    return answers;
  }

  std::map<Id16, NaiveSession> sessions;

 private:
  // A lease ends at the first multiple of 5 s that is at least 60 s away.
  std::uint64_t lease_end() const {
    return (lease_time_ + 60'000'000 + 4'999'999) / 5'000'000 * 5'000'000;
  }

  NaiveAnswer open(const messages::SessionOpen& o) {
    const Hash digest = messages::open_digest(o);
    if (const auto it = opens_.find(digest); it != opens_.end())
      return {BundleOutcome::session_opened, false, false, it->second.second};
    if (o.valid_until_us < time_ || o.valid_until_us - time_ > 3'600'000'000)
      return {BundleOutcome::open_refused, true};
    const Hash h =
        crypto::Hasher(tags::Domain::session_id).update(digest).update_u64(seq_).finish();
    Id16 id;
    std::copy_n(h.begin(), 16, id.begin());
    opens_[digest] = {o.valid_until_us, id};
    NaiveSession& s = sessions[id];
    s.owner = o.client;
    s.expiry = lease_end();
    s.active = seq_;
    return {BundleOutcome::session_opened, true, false, id};
  }

  NaiveAnswer bundle(const messages::Bundle& b, const Hash& digest) {
    const auto it = sessions.find(b.session_id);
    if (it == sessions.end() || it->second.owner != b.client) return {BundleOutcome::no_session};
    NaiveSession& s = it->second;
    if (b.bundle_no <= s.last) {
      const auto kept = s.kept.find(b.bundle_no);
      if (kept == s.kept.end()) return {BundleOutcome::result_gone};
      return {s.outcomes[b.bundle_no], false, kept->second != digest};
    }
    if (b.bundle_no > s.last + 1) return {BundleOutcome::skipped};
    const bool expired = time_ > b.valid_until_us;
    s.last = b.bundle_no;
    s.ack = std::max(s.ack, std::min(b.ack_upto, s.last - 1));
    s.kept[s.last] = digest;
    s.outcomes[s.last] = expired ? BundleOutcome::expired : BundleOutcome::done;
    while (s.kept.size() > 8) s.kept.erase(s.kept.begin());
    std::erase_if(s.kept, [&](const auto& k) { return k.first <= s.ack; });
    s.ack = s.kept.begin()->first - 1;
    if (!expired) {
      s.expiry = lease_end();
      s.active = seq_;
    }
    const NaiveAnswer answer{s.outcomes[s.last], true};
    if (!expired && std::holds_alternative<schema::CloseSession>(b.operations.back().body))
      sessions.erase(it);
    return answer;
  }

  std::uint64_t time_;
  std::uint64_t lease_time_ = 0;
  std::uint64_t seq_ = 0;
  std::map<Hash, std::pair<std::uint64_t, Id16>> opens_;
};

void compare(const World& w, const NaiveSessions& naive) {
  std::size_t leaves = 0;
  for (const auto& [id, s] : naive.sessions) {
    const auto record = w.session_record(id);
    REQUIRE(record.has_value());
    CHECK(record->principal == s.owner);
    CHECK(record->last_bundle == s.last);
    CHECK(record->ack_upto == s.ack);
    CHECK(record->lease_expiry_us == s.expiry);
    CHECK(record->last_active_seq == s.active);
    for (const auto& kept : s.kept)
      CHECK(w.leaves_under(keys::session_result(id, kept.first)) == 1);
    leaves += 1 + s.kept.size();
  }
  CHECK(w.leaves_under(keys::sessions()) == leaves);
  CHECK(w.leaves_under(keys::leases()) == naive.sessions.size());
  CHECK(w.engine.counters()->sessions == naive.sessions.size());
}

class Traffic {
 public:
  Traffic(World& world, std::uint64_t seed) : w_(world), rng_(seed) {}

  std::vector<Item> batch(const std::map<Id16, NaiveSession>& sessions) {
    std::vector<Item> items;
    std::set<Hash> digests;
    const std::size_t count = rng_() % 12;
    for (std::size_t i = 0; i < count; ++i) {
      const Item item = next(sessions);
      if (digests.insert(item.digest()).second) items.push_back(item);
    }
    sent_.insert(sent_.end(), items.begin(), items.end());
    return items;
  }
  std::uint64_t step() {
    if (rng_() % 40 == 0) return kHour;
    return rng_() % (4 * kSecond);
  }

 private:
  Item next(const std::map<Id16, NaiveSession>& sessions) {
    const std::uint64_t dice = rng_() % 20;
    if (sessions.empty() || dice == 0) {
      const std::uint64_t valid = rng_() % 8 == 0 ? 2 * kHour : rng_() % kHour;
      return w_.open_item(static_cast<std::uint32_t>(rng_() % 2), rng_(), valid);
    }
    if (dice < 5 && !sent_.empty()) return sent_[rng_() % sent_.size()];
    auto it = sessions.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(rng_() % sessions.size()));
    const bool first = it->second.owner == w_.cluster.clients[0]->public_key();
    const bool wrong_key = rng_() % 15 == 0;
    const std::uint64_t ahead = rng_() % 6 == 0 ? rng_() % 4 : 1;
    const std::uint64_t no = std::max<std::uint64_t>(it->second.last + ahead, 1);
    World::Options options;
    options.ack_upto = rng_() % 5 == 0 ? no + 3 : no - std::min<std::uint64_t>(no, rng_() % 10);
    if (rng_() % 8 == 0) options.valid_for_us = rng_() % kSecond;
    std::vector<schema::OperationBody> ops(1 + rng_() % 3, schema::Noop{});
    if (rng_() % 30 == 0) ops.push_back(schema::CloseSession{});
    return w_.bundle(first != wrong_key ? 0 : 1, it->first, no, ops, options);
  }

  World& w_;
  std::mt19937_64 rng_;
  std::vector<Item> sent_;
};

}  // namespace

TEST_CASE("differential: random traffic, the engine and the naive model agree on everything") {
  std::map<BundleOutcome, int> seen;
  int mismatches = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    World w;
    NaiveSessions naive(w.now);
    Traffic traffic(w, seed);
    for (int i = 0; i < 150; ++i) {
      const auto items = traffic.batch(naive.sessions);
      const Executed e = items.empty() ? w.run_null() : w.run(items, traffic.step());
      const auto expected = naive.step(w.log().back());
      REQUIRE(e.results.size() == expected.size());
      for (std::size_t k = 0; k < expected.size(); ++k) {
        const BundleResult r = result_of(e, k);
        CAPTURE(seed);
        CAPTURE(w.engine.executed_seq());
        CAPTURE(k);
        REQUIRE(r.outcome == expected[k].outcome);
        REQUIRE(e.results[k].first_time == expected[k].first);
        REQUIRE((r.code == Code::exists) == expected[k].mismatch);
        REQUIRE(r.session_id == expected[k].opened);
        ++seen[r.outcome];
        mismatches += expected[k].mismatch ? 1 : 0;
      }
      compare(w, naive);
    }
  }
  // The traffic reaches every rule, or it proves nothing.
  for (const BundleOutcome o : {BundleOutcome::done, BundleOutcome::expired, BundleOutcome::skipped,
                                BundleOutcome::no_session, BundleOutcome::result_gone,
                                BundleOutcome::session_opened, BundleOutcome::open_refused})
    CHECK(seen[o] >= 20);
  CHECK(mismatches >= 20);
}
