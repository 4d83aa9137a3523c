// The engine's sessions against the naive model of execution (test/model/execution.hpp).
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

#include "model/execution.hpp"
#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;

namespace {

class Traffic {
 public:
  Traffic(World& world, std::uint64_t seed) : w_(world), rng_(seed) {}

  std::vector<Item> batch(const std::map<Id16, schema::Session>& sessions) {
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
  Item next(const std::map<Id16, schema::Session>& sessions) {
    const std::uint64_t dice = rng_() % 20;
    if (sessions.empty() || dice == 0) {
      const std::uint64_t valid = rng_() % 8 == 0 ? 2 * kHour : rng_() % kHour;
      return w_.open_item(static_cast<std::uint32_t>(rng_() % 2), rng_(), valid);
    }
    if (dice < 5 && !sent_.empty()) return sent_[rng_() % sent_.size()];
    auto it = sessions.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(rng_() % sessions.size()));
    const bool first = it->second.principal == w_.cluster.clients[0]->public_key();
    const bool wrong_key = rng_() % 15 == 0;
    const std::uint64_t ahead = rng_() % 6 == 0 ? rng_() % 4 : 1;
    const std::uint64_t no = std::max<std::uint64_t>(it->second.last_bundle + ahead, 1);
    World::Options options;
    options.ack_upto = rng_() % 5 == 0 ? no + 3 : no - std::min<std::uint64_t>(no, rng_() % 10);
    if (rng_() % 8 == 0) options.valid_for_us = rng_() % kSecond;
    std::vector<schema::OperationBody> ops(1 + rng_() % 3, schema::Noop{});
    if (rng_() % 30 == 0) ops.push_back(schema::CloseSession{});
    if (rng_() % 4 == 0) ops.push_back(statement());
    return w_.bundle(first != wrong_key ? 0 : 1, it->first, no, ops, options);
  }

  // Of the admins; every other one is what somebody has seen. Client 2 comes and goes.
  schema::OperationBody statement() {
    if (rng_() % 2 == 0 && !statements_.empty()) return statements_[rng_() % statements_.size()];
    if (statements_.size() == kStatements) statements_.erase(statements_.begin());
    if (rng_() % 2 == 0) {
      statements_.push_back(w_.registration(2, rng_() % 2 == 0));
    } else {
      config::Config next = w_.engine.config();
      if (rng_() % 2 == 0) {
        ++next.epoch;
        next.replicas[3] = others_.config().replicas[4 + rng_() % 2];
        next.replicas[3].id = 3;
      }
      statements_.push_back(w_.change_to(next));
    }
    return statements_.back();
  }

  static constexpr std::size_t kStatements = 8;

  World& w_;
  std::mt19937_64 rng_;
  std::vector<Item> sent_;
  std::vector<schema::OperationBody> statements_;
  const Cluster others_{7};
};

int replays_refused(const messages::ParsedItem& item, const BundleResult& result) {
  const messages::Bundle* bundle = item.bundle();
  int refused = 0;
  for (std::size_t i = 0; bundle != nullptr && i < result.results.size(); ++i)
    if (std::holds_alternative<schema::RegisterClient>(bundle->operations[i].body))
      refused += result.results[i].code == Code::exists ? 1 : 0;
  return refused;
}

}  // namespace

TEST_CASE("differential: random traffic, the engine and the naive model agree on everything") {
  std::map<BundleOutcome, int> seen;
  int mismatches = 0;
  int replays = 0;
  std::size_t forgotten = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    World w(3);
    ExecutionModel model(w.cluster.genesis, w.cluster.verifier);
    Traffic traffic(w, seed);
    std::size_t remembered = 0;
    for (int i = 0; i < 150; ++i) {
      const auto items = traffic.batch(model.sessions());
      const Executed e = items.empty() ? w.run_null() : w.run(items, traffic.step());
      const ExecutionModel::Step expected = model.step(w.log().back());
      CAPTURE(seed);
      CAPTURE(w.engine.executed_seq());
      REQUIRE(e.results.size() == expected.results.size());
      for (std::size_t k = 0; k < expected.results.size(); ++k) {
        CAPTURE(k);
        REQUIRE(e.results[k].result == expected.results[k]);
        const BundleResult r = result_of(e, k);
        ++seen[r.outcome];
        mismatches += r.code == Code::exists ? 1 : 0;
        replays += replays_refused(w.log().back().items[k], r);
      }
      REQUIRE(e.header == expected.header);
      const std::size_t before = remembered;
      remembered = w.leaves_under(schema::keys::used_statements());
      forgotten += before - std::min(before, remembered);
    }
  }
  // The traffic reaches every rule, or it proves nothing.
  for (const BundleOutcome o : {BundleOutcome::done, BundleOutcome::expired, BundleOutcome::skipped,
                                BundleOutcome::no_session, BundleOutcome::result_gone,
                                BundleOutcome::session_opened, BundleOutcome::open_refused})
    CHECK(seen[o] >= 20);
  CHECK(mismatches >= 20);
  CHECK(replays >= 20);
  CHECK(forgotten >= 20);
}
