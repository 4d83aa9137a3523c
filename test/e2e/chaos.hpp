// How long the rounds of chaos are, and the table of what they found. Filled by the command line of
// test-chaos (chaos_main.cpp), used by its test cases. Thread-safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bftmeta::test::chaos {

// Defaults: the short form, for the test suite.
struct Settings {
  std::uint32_t rounds = 5;   // in which all replicas die; a fifth of it in which the primary does
  std::uint32_t seconds = 5;  // that a replica stands still
  std::uint64_t seed = 0;     // 0: another one each time
  // The longest time without service that a dead primary may cause. Nothing tight by default: a
  // machine that runs other tests at the same time says little about time.
  std::uint32_t gap_ms = 15000;

  std::uint32_t few() const { return rounds < 5 ? 1 : rounds / 5; }
};
Settings& settings();

// One line of the table, written at its end; "unfinished" when the test case gave up before.
class Line {
 public:
  explicit Line(std::string what);
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  void add_acknowledged(std::size_t count) { acknowledged_ += count; }
  void add_round() { ++rounds_; }
  void note_gap(std::chrono::milliseconds gap);
  // Each one fails the test case too. `what` stands before each of them.
  void violations(const std::string& what, const std::vector<std::string>& found);
  void violation_unless(bool ok, const std::string& what);
  void finished() { finished_ = true; }

 private:
  const std::string what_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::size_t acknowledged_ = 0;
  std::uint32_t rounds_ = 0;
  std::size_t violations_ = 0;
  std::optional<std::chrono::milliseconds> gap_;
  bool finished_ = false;
};

}  // namespace bftmeta::test::chaos
