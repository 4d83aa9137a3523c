// The queue of items, without a core: who is in line, and what is dropped from it.
#include <doctest/doctest.h>

#include <algorithm>

#include "sim/ideal_crypto.hpp"

#include "consensus/pending.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;

namespace {

constexpr std::uint64_t kAgeUs = 250'000;

// Executed state as far as the queue asks for it.
class Sessions final : public StateMachine {
 public:
  Seq executed_seq() const override { return 0; }
  Hash history_hash() const override { return {}; }
  Result<Outcome> execute(const messages::ParsedBatch&) override { return Outcome{}; }
  Admission admit(const messages::ParsedItem& item) const override {
    const messages::Bundle* bundle = item.bundle();
    if (bundle == nullptr) return Admission::accept;
    const auto it = last.find(bundle->session_id);
    if (it == last.end()) return Admission::no_session;
    return bundle->bundle_no <= it->second ? Admission::done : Admission::accept;
  }
  std::uint64_t last_bundle(const Id16& session) const override {
    const auto it = last.find(session);
    return it == last.end() ? 0 : it->second;
  }

  std::map<Id16, std::uint64_t> last;
};

struct Queue {
  messages::Item bundle(const sim::IdealSigner& client, const Id16& session,
                        std::uint64_t number) const {
    messages::Bundle b;
    b.session_id = session;
    b.client = client.public_key();
    b.bundle_no = number;
    b.valid_until_us = ~0ULL >> 1;
    b.operations.push_back({{}, schema::Noop{}});
    return messages::sign_bundle(client, cluster_id, b);
  }
  messages::Item add(const sim::IdealSigner& client, const Id16& session, std::uint64_t number) {
    messages::Item item = bundle(client, session, number);
    auto parsed = messages::parse_item(item);
    REQUIRE(parsed.has_value());
    const auto shared = std::make_shared<const messages::ParsedItem>(std::move(*parsed));
    REQUIRE(pending.add(item, shared, state, now_us) == Pending::Added::added);
    return item;
  }
  // A batch of these was executed, and they were the next of their session.
  void execute(const std::vector<messages::Item>& items) {
    messages::Batch batch;
    batch.seq = ++seq;
    batch.time_us = 1;
    batch.items = items;
    const auto parsed = messages::parse_batch({cluster_id, 0}, std::move(batch));
    REQUIRE(parsed.has_value());
    for (const messages::ParsedItem& item : parsed->items)
      state.last[item.bundle()->session_id] = item.bundle()->bundle_no;
    pending.executed(*parsed, state, now_us);
  }
  std::size_t timed() const {
    std::size_t count = 0;
    pending.for_each_timed([&](const Hash&, const PendingItem&) { ++count; });
    return count;
  }

  Hash cluster_id{9};
  Sessions state;
  Pending pending;
  Seq seq = 0;
  std::uint64_t now_us = 1'000'000;
};

}  // namespace

TEST_CASE("who names another's session does not move the owner's place in line") {
  const Id16 session{1};
  // Whichever of the two is looked at first.
  for (const std::uint8_t stranger_key : {std::uint8_t{1}, std::uint8_t{3}}) {
    CAPTURE(static_cast<int>(stranger_key));
    const sim::IdealSigner owner(PublicKey{2});
    const sim::IdealSigner stranger(PublicKey{stranger_key});
    Queue q;
    q.state.last[session] = 2;
    q.add(stranger, session, 7);
    q.execute({q.add(owner, session, 3)});
    q.execute({q.add(owner, session, 4)});
    const messages::Item next = q.add(owner, session, 5);
    const messages::Item second = q.add(owner, session, 6);
    CHECK(q.pending.take(10) == std::vector<messages::Item>{next, second});
  }
}

TEST_CASE("what waits for a session that has ended is dropped, whatever ended it") {
  const sim::IdealSigner client(PublicKey{2});
  const Id16 session{1};
  Queue q;
  q.state.last[session] = 4;
  SUBCASE("its lease: no batch names the session") {
    q.add(client, session, 5);
    q.state.last.erase(session);
    q.now_us += kAgeUs;
    CHECK(q.pending.take_forwards(q.state, kAgeUs, 1 << 20, q.now_us).empty());
  }
  SUBCASE("a bundle that closes it") {
    const messages::Item close = q.add(client, session, 5);
    q.add(client, session, 6);
    messages::Batch batch;
    batch.seq = 1;
    batch.time_us = 1;
    batch.items = {close};
    const auto parsed = messages::parse_batch({q.cluster_id, 0}, std::move(batch));
    REQUIRE(parsed.has_value());
    q.state.last.erase(session);
    q.pending.executed(*parsed, q.state, q.now_us);
  }
  CHECK(q.pending.size() == 0);
  CHECK(q.timed() == 0);
}

TEST_CASE("what is forwarded again waits its time, and goes as far as the bytes go") {
  const sim::IdealSigner client(PublicKey{2});
  Queue q;
  std::vector<messages::Item> items;
  for (std::uint8_t s = 1; s <= 3; ++s) {
    q.state.last[Id16{s}] = 0;
    items.push_back(q.add(client, Id16{s}, 1));
  }
  const std::size_t two = items[0].body.size() + items[1].body.size();
  CHECK(q.pending.take_forwards(q.state, kAgeUs, two, q.now_us).empty());
  q.now_us += kAgeUs;
  CHECK(q.pending.take_forwards(q.state, kAgeUs, two, q.now_us).size() == 2);
  CHECK(q.pending.take_forwards(q.state, kAgeUs, two, q.now_us).size() == 1);
  CHECK(q.pending.take_forwards(q.state, kAgeUs, two, q.now_us).empty());
  CHECK(q.pending.size() == 3);
}
