// A program that runs beside the test. Killed by its pid when this object goes, whatever the test
// threw, and by the kernel when the test itself dies. Its standard output is read here, its
// standard error goes to a file. Thread-safety: one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace bftmeta::test {

class Child {
 public:
  // argv[0] is the path of the program. stderr is appended to `err_path`.
  Child(const std::vector<std::string>& argv, const std::string& err_path);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  // Until a line with `part` in it was printed; false: the output ended, or the time is over.
  bool wait_for_output(const std::string& part, std::chrono::milliseconds timeout);
  // Until the process has ended. Its exit code (128 + signal when it died of one); nullopt: it
  // still runs when the time is over.
  std::optional<int> wait_exit(std::chrono::milliseconds timeout);
  void signal(int number);
  const std::string& output() const { return output_; }

 private:
  // One read of the output; false at its end or at the deadline.
  bool read_some(std::chrono::steady_clock::time_point deadline);

  pid_t pid_ = -1;
  int out_ = -1;
  std::string output_;
  std::optional<int> exit_code_;
};

}  // namespace bftmeta::test
