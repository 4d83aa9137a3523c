// Runs one program to its end and keeps what it said. Bounded: killed (it alone, by its pid) and
// reported as exit code -1 when it takes longer than `timeout`. Thread-safety: no state.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace bftmeta::test {

struct RunResult {
  int exit_code = -1;  // 128 + signal when it died of one
  std::string out;
  std::string err;
};

// argv[0] is the path of the program. `input` is its standard input.
RunResult run(const std::vector<std::string>& argv, const std::string& input = "",
              std::chrono::seconds timeout = std::chrono::seconds(20));

}  // namespace bftmeta::test
