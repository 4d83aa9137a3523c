#include "support/linearizability.hpp"

#include <algorithm>
#include <map>

namespace bftmeta::test {

namespace {

struct Event {
  std::uint64_t at_us = 0;
  bool is_return = false;  // at the same instant invocations count first: nothing is "before"
  std::size_t operation = 0;

  friend auto operator<=>(const Event&, const Event&) = default;
};

// The operation with the highest sequence number that has returned so far.
struct Newest {
  std::uint64_t seq = 0;
  std::size_t operation = 0;

  void note(std::uint64_t s, std::size_t op) {
    if (s > seq) *this = {s, op};
  }
};

const char* name_of(Action action) {
  switch (action) {
    case Action::write: return "write";
    case Action::linearizable_read: return "linearizable read";
    case Action::session_read: break;
  }
  return "session read";
}

std::string describe(const HistoryEntry& e) {
  return "client " + std::to_string(e.client) + "'s " + name_of(e.action) + " at sequence number " +
         std::to_string(e.seq) + " (" + std::to_string(e.invoked_us) + " to " +
         std::to_string(e.returned_us) + " us)";
}

}  // namespace

std::vector<std::string> check_history(const std::vector<HistoryEntry>& history) {
  std::vector<Event> events;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (!history[i].returned) continue;
    events.push_back({history[i].invoked_us, false, i});
    events.push_back({history[i].returned_us, true, i});
  }
  std::ranges::sort(events);

  std::vector<std::string> problems;
  std::vector<Newest> floors(history.size());
  Newest newest;
  std::map<std::uint32_t, Newest> newest_of;
  for (const Event& event : events) {
    const HistoryEntry& e = history[event.operation];
    if (!event.is_return) {
      floors[event.operation] = e.action == Action::session_read ? newest_of[e.client] : newest;
      continue;
    }
    const Newest& floor = floors[event.operation];
    const bool ok = e.action == Action::write ? e.seq > floor.seq : e.seq >= floor.seq;
    if (!ok && problems.size() < kMaxProblems)
      problems.push_back(describe(e) + " does not lie behind " +
                         describe(history[floor.operation]) + ", which had returned");
    newest.note(e.seq, event.operation);
    newest_of[e.client].note(e.seq, event.operation);
  }
  return problems;
}

std::size_t History::invoked(std::uint32_t client, Action action, std::uint64_t now_us) {
  const std::lock_guard lock(mutex_);
  HistoryEntry entry;
  entry.client = client;
  entry.action = action;
  entry.invoked_us = now_us;
  entries_.push_back(entry);
  return entries_.size() - 1;
}

void History::returned(std::size_t operation, std::uint64_t seq, std::uint64_t now_us) {
  const std::lock_guard lock(mutex_);
  HistoryEntry& entry = entries_.at(operation);
  entry.seq = seq;
  entry.returned_us = now_us;
  entry.returned = true;
}

std::vector<HistoryEntry> History::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_;
}

}  // namespace bftmeta::test
