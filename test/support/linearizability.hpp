// Client histories and whether they are linearizable (Herlihy, Wing, TOPLAS 12(3)). Every answer of
// this system names a certified sequence number: a write took effect there, a read saw the state
// behind it. Execution is a function of that order, so values are right if the order respects real
// time, and that is all that is checked here: no search. (A history that fails could still be
// linearizable in another order, if the operations commute; here it is a fault all the same.)
//
// What must hold, "before" meaning that one had returned when the other was invoked:
//   * after any operation at s, a write lies above s: the certificate of s existed already;
//   * after any operation at s, a linearizable read is at s or above;
//   * after its own client's operation at s, a read with session guarantees is at s or above.
//
// Cost: O(n log n) time for n operations (one sort), O(n) memory; a million operations take about a
// second. Thread-safety: History may be used by any number of threads, check_history is pure.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace bftmeta::test {

enum class Action : std::uint8_t {
  write,
  linearizable_read,
  session_read,  // reads its own client's writes, and never goes back
};

struct HistoryEntry {
  std::uint32_t client = 0;
  Action action = Action::write;
  std::uint64_t invoked_us = 0;  // of one clock for all clients
  std::uint64_t returned_us = 0;
  bool returned = false;  // false: the outcome was never learned; nothing is demanded of it
  std::uint64_t seq = 0;
};

// One sentence per operation that breaks a rule, at most kMaxProblems.
constexpr std::size_t kMaxProblems = 10;
std::vector<std::string> check_history(const std::vector<HistoryEntry>& history);

class History {
 public:
  // What `returned` takes.
  std::size_t invoked(std::uint32_t client, Action action, std::uint64_t now_us);
  void returned(std::size_t operation, std::uint64_t seq, std::uint64_t now_us);
  std::vector<HistoryEntry> entries() const;

 private:
  mutable std::mutex mutex_;
  std::vector<HistoryEntry> entries_;
};

}  // namespace bftmeta::test
