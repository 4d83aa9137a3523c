// Histories and pictures: what test/support/linearizability.hpp finds, and what a trace shows.
#include <doctest/doctest.h>

#include "sim/trace.hpp"
#include "support/linearizability.hpp"

using namespace bftmeta;
using test::Action;
using test::HistoryEntry;

namespace {

HistoryEntry op(std::uint32_t client, Action action, std::uint64_t from, std::uint64_t to,
                std::uint64_t seq) {
  return {client, action, from, to, true, seq};
}
std::size_t problems(const std::vector<HistoryEntry>& history) {
  return test::check_history(history).size();
}

}  // namespace

TEST_CASE("history: order and real time agree, whatever overlaps") {
  CHECK(problems({}) == 0);
  CHECK(problems({op(0, Action::write, 1, 10, 5), op(1, Action::write, 2, 9, 4)}) == 0);
  CHECK(problems({op(0, Action::write, 1, 2, 5), op(1, Action::write, 2, 3, 5)}) == 0);
  CHECK(problems({op(0, Action::write, 1, 2, 5), op(1, Action::linearizable_read, 3, 4, 5)}) == 0);
}

TEST_CASE("history: a write that lies before, or beside, one that had returned") {
  CHECK(problems({op(0, Action::write, 1, 2, 5), op(1, Action::write, 3, 4, 4)}) == 1);
  CHECK(problems({op(0, Action::write, 1, 2, 5), op(1, Action::write, 3, 4, 5)}) == 1);
  CHECK(problems({op(0, Action::session_read, 1, 2, 5), op(1, Action::write, 3, 4, 5)}) == 1);
}

TEST_CASE("history: stale reads, by their guarantee") {
  const HistoryEntry write = op(0, Action::write, 1, 2, 5);
  CHECK(problems({write, op(1, Action::linearizable_read, 3, 4, 4)}) == 1);
  CHECK(problems({write, op(1, Action::session_read, 3, 4, 4)}) == 0);  // another client's
  CHECK(problems({write, op(0, Action::session_read, 3, 4, 4)}) == 1);
  CHECK(problems({op(1, Action::linearizable_read, 1, 2, 7),
                  op(0, Action::linearizable_read, 3, 4, 6)}) == 1);
  CHECK(problems({op(1, Action::session_read, 1, 2, 7), op(1, Action::session_read, 3, 4, 6)}) ==
        1);
}

TEST_CASE("history: nothing is demanded of what never returned") {
  test::History history;
  const std::size_t lost = history.invoked(0, Action::write, 1);
  const std::size_t done = history.invoked(1, Action::write, 2);
  history.returned(done, 3, 4);
  CHECK(problems(history.entries()) == 0);
  history.returned(lost, 3, 5);
  CHECK(problems(history.entries()) == 0);  // they overlapped
  const std::size_t next = history.invoked(0, Action::write, 6);
  history.returned(next, 3, 7);
  const auto found = test::check_history(history.entries());
  REQUIRE(found.size() == 1);
  CHECK(found[0].find("client 0's write at sequence number 3") != std::string::npos);
}

TEST_CASE("trace: the last messages as text and as a Mermaid diagram") {
  sim::Trace trace;
  messages::Commit commit{{2, 9, Hash{0xab, 0xcd, 0xef, 0x01}}};
  const sim::MessageSummary what = sim::summarize(messages::PeerMessage(commit));
  for (int i = 0; i < 5; ++i) trace.message(10, 1, 0, what, true);
  trace.message(20, 0, 2, what, false);
  trace.note(30, 3, "executes 9; late");
  trace.message(40, 1, 3, sim::summarize(messages::PeerMessage(messages::PeerStatus{})), true);
  trace.message(50, sim::kFirstClient, 3, sim::summarize(messages::ClientMessage(messages::Read{})),
                true);
  CHECK(trace.mermaid(3) ==
        "sequenceDiagram\n"
        "  participant R0\n"
        "  participant R2\n"
        "  participant R3\n"
        "  participant C0\n"
        "  R0-xR2: COMMIT v2 s9 abcdef01\n"
        "  Note over R3: executes 9, late\n"
        "  C0->>R3: READ s0\n");
  const std::string text = trace.text(4);
  CHECK(text.starts_with("20 us  R0 -x R2  COMMIT v2 s9 abcdef01\n"));
  CHECK(text.find("40 us  R1 -> R3  STATUS v0 s0\n") != std::string::npos);
}

TEST_CASE("trace: bounded") {
  sim::Trace trace;
  for (std::size_t i = 0; i < sim::Trace::kCapacity + 10; ++i) trace.note(i, 0, "x");
  const std::string all = trace.text(2 * sim::Trace::kCapacity);
  CHECK(static_cast<std::size_t>(std::ranges::count(all, '\n')) == sim::Trace::kCapacity);
  CHECK(all.starts_with("10 us"));
}
