// What concurrent clients see while replicas are killed and stand still is linearizable (S10), and
// a history that is not is found.
#include <doctest/doctest.h>
#include <signal.h>

#include <random>

#include "e2e/chaos.hpp"
#include "support/shared_names.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;
using test::Action;
using test::check_answers;
using test::check_history;
using test::HistoryEntry;
using test::RecordedOperation;
using test::SharedNamesLoad;
using test::chaos::Line;
using test::chaos::settings;

namespace {

constexpr std::uint32_t kClients = 6;

std::vector<HistoryEntry> entries_of(const std::vector<RecordedOperation>& operations) {
  std::vector<HistoryEntry> entries;
  for (const RecordedOperation& op : operations) entries.push_back(op.entry);
  return entries;
}

void disturb(test::ProcessCluster& cluster, std::uint32_t kind, std::mt19937_64& random) {
  const std::uint32_t victim = static_cast<std::uint32_t>(random() % cluster.n());
  switch (kind % 3) {
    case 0:
      cluster.kill(victim);
      cluster.start(victim);
      return;
    case 1:
      cluster.child(victim).signal(SIGSTOP);
      std::this_thread::sleep_for(std::chrono::milliseconds(200 + random() % 1500));
      cluster.child(victim).signal(SIGCONT);
      return;
    default:
      for (std::uint32_t r = 0; r < cluster.n(); ++r) cluster.kill(r);
      cluster.start_all();
  }
}

// A linearizable read answered with the state before a write that had returned when it began: what
// a replica without the hold-back rule may make a client believe. False: there is no such pair.
bool make_stale(std::vector<RecordedOperation>& operations) {
  for (RecordedOperation& read : operations) {
    if (read.entry.action != Action::linearizable_read) continue;
    for (const RecordedOperation& write : operations) {
      const HistoryEntry& w = write.entry;
      if (w.action != Action::write || w.returned_us >= read.entry.invoked_us || w.seq < 2)
        continue;
      read.entry.seq = w.seq - 1;
      return true;
    }
  }
  return false;
}

// The order of a real history is right; bent in one place, it is wrong, and found.
void check_that_lies_are_found(const std::vector<RecordedOperation>& operations) {
  auto stale = operations;
  REQUIRE(make_stale(stale));
  CHECK_FALSE(check_history(entries_of(stale)).empty());

  // The right number, but the files of an older state.
  auto other = operations;
  const auto read = std::ranges::find_if(other, [](const RecordedOperation& op) {
    return op.entry.action != Action::write && op.seen.at(0).has_value();
  });
  REQUIRE(read != other.end());
  --read->seen[0]->mtime_ns;
  CHECK(check_answers(other).size() == 1);

  // A write that came to nothing although it was acknowledged.
  auto lost = operations;
  const auto creation = std::ranges::find_if(lost, [](const RecordedOperation& op) {
    return std::holds_alternative<schema::MakeNode>(op.body) && op.result.code == schema::Code::ok;
  });
  REQUIRE(creation != lost.end());
  lost.erase(creation);
  CHECK_FALSE(check_answers(lost).empty());
}

RecordedOperation made(std::uint32_t client, messages::Seq seq, schema::Code code) {
  RecordedOperation op;
  op.entry = {client, Action::write, 1, 2, true, seq};
  schema::MakeNode make;
  make.name.bytes = to_bytes(view(test::kSharedNames[0]));
  op.body = make;
  op.result.code = code;
  if (code == schema::Code::ok) op.result.inode = schema::InodeReply{2, true, {}};
  return op;
}

}  // namespace

TEST_CASE("answers are compared in the order of the batch, in any order where it is not known") {
  std::vector<RecordedOperation> two{made(0, 5, schema::Code::exists),
                                     made(1, 5, schema::Code::ok)};
  CHECK(check_answers(two).empty());
  two[0].position = 1;
  two[1].position = 0;
  CHECK(check_answers(two).empty());
  std::swap(two[0].position, two[1].position);
  CHECK(check_answers(two).size() == 1);
  two[1].result = two[0].result;
  two[0].position.reset();
  CHECK(check_answers(two).size() == 1);
}

TEST_CASE("S10 six clients on six names, replicas killed and standing still: linearizable") {
  Line line("linearizable histories, faults of all kinds");
  std::mt19937_64 random(settings().seed + 3);
  test::ProcessCluster cluster(BFTMETAD, {.clients = kClients});
  cluster.start_all();
  SharedNamesLoad load(cluster, kClients, settings().seed);
  REQUIRE(load.wait_returned(300, 25s));
  for (std::uint32_t round = 0; round < 3 * settings().few(); ++round) {
    disturb(cluster, round, random);
    REQUIRE(load.wait_returned(300, 25s));
    line.add_round();
  }
  load.stop();
  const std::vector<RecordedOperation> operations = load.operations();
  line.add_acknowledged(operations.size());
  line.violations("a call failed", load.problems());
  const auto entries = entries_of(operations);
  const auto start = std::chrono::steady_clock::now();
  const auto order = check_history(entries);
  const auto answers = check_answers(operations);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  line.violations("order", order);
  line.violations("answer", answers);
  MESSAGE("checked " << operations.size() << " operations, "
                     << took.count() * 1000 / static_cast<double>(operations.size())
                     << " ms per 1000");
  check_that_lies_are_found(operations);
  line.finished();
}
