// Daemons on this machine, and making sure that a process is still the one that was started: a pid
// is reused, a (pid, start time, boot) is not. Signals go through a pidfd, so they cannot hit
// another process. Thread-safety: functions without state.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace bftmeta::admin {

struct Process {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // since boot, as in /proc/PID/stat
  friend bool operator==(const Process&, const Process&) = default;
};

// The program of this name next to the running one. Errc::not_found.
Result<std::string> sibling_program(const std::string& name);

struct Daemon {
  Process process;
  std::string first_line;  // of its standard output
};
// Starts a program in a session of its own, detached, its standard error appended to `log`, and
// returns once it has written one line to its standard output (kept in the log, too). Errors: io;
// unreachable: it said nothing for `timeout` (it was ended); io with its last line on standard
// error, or the code that its exit status stands for, when it ended instead.
Result<Daemon> start_daemon(const std::vector<std::string>& argv, const std::string& log,
                            std::chrono::milliseconds timeout);

// Runs a program to its end. Its last line on standard error is the message of the error that its
// exit status stands for.
Status run_program(const std::vector<std::string>& argv);

// "PID START BOOT" in a file; nullopt when there is none, or the process is gone.
Status write_pid_file(const std::string& path, const Process& process);
std::optional<Process> running_process(const std::string& pid_file);
// Returns when the process is gone, at the latest after `patience`. One that was killed is a zombie
// by name while its last threads still hold files, locks and ports.
void await_end(const std::string& pid_file, std::chrono::milliseconds patience);

// SIGTERM at once, SIGKILL after `grace`; returns when the process is gone. False: it had to be
// killed.
class Ending {
 public:
  static Result<Ending> begin(const Process& process);  // sends SIGTERM
  Ending(Ending&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Ending& operator=(Ending&&) = delete;
  ~Ending();
  bool wait(std::chrono::milliseconds grace);

 private:
  explicit Ending(int fd) : fd_(fd) {}
  int fd_;  // pidfd; -1: it was gone already
};

struct Usage {
  std::uint64_t cpu_us = 0;          // user and system
  std::uint64_t rss_anon_bytes = 0;  // anonymous memory that is resident
};
// nullopt: no such process, or not ours to see. `program`: what its executable's name starts with.
std::optional<Usage> usage_of(pid_t pid, const std::string& program);

}  // namespace bftmeta::admin
