// Going to the background without leaving the caller in doubt: the parent stays until the child has
// said that it serves, or why it cannot, and ends with the child's exit code. Thread-safety: one
// thread; before_threads() must be called before any other thread is started.
#pragma once

#include <string>

#include "base/result.hpp"

namespace bftmeta::fuse {

class Daemon {
 public:
  // Forks. In the parent: waits, prints the child's error if there is one, and does not return.
  // In the child: returns. With foreground = true: does nothing, and the two below print.
  static Result<Daemon> before_threads(bool foreground);

  // The child serves: leaves the terminal and lets the parent end with 0.
  void ready();
  // The child ends without having served; the exit code.
  int failed(const Error& error);

 private:
  explicit Daemon(int pipe) : pipe_(pipe) {}
  int pipe_;  // -1: in the foreground, or done
};

}  // namespace bftmeta::fuse
