#include "support/run.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

extern char** environ;

namespace bftmeta::test {

namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int fds[2] = {-1, -1};
  Pipe() { REQUIRE(::pipe2(fds, O_CLOEXEC) == 0); }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(int i) {
    if (fds[i] >= 0) ::close(fds[i]);
    fds[i] = -1;
  }
};

pid_t spawn(const std::vector<std::string>& argv, int in, int out, int err) {
  std::vector<char*> raw;
  for (const std::string& arg : argv) raw.push_back(const_cast<char*>(arg.c_str()));
  raw.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  REQUIRE(::posix_spawn_file_actions_init(&actions) == 0);
  ::posix_spawn_file_actions_adddup2(&actions, in, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out, 1);
  ::posix_spawn_file_actions_adddup2(&actions, err, 2);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, raw[0], &actions, nullptr, raw.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  REQUIRE_MESSAGE(error == 0, "cannot start ", argv[0]);
  return pid;
}

// Reads both ends until they are closed; false when the deadline came first.
bool collect(Pipe& out, Pipe& err, RunResult& result, Clock::time_point deadline) {
  while (out.fds[0] >= 0 || err.fds[0] >= 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    pollfd fds[2] = {{out.fds[0], POLLIN, 0}, {err.fds[0], POLLIN, 0}};
    if (::poll(fds, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) return false;
    for (int i = 0; i < 2; ++i) {
      if (fds[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t n = ::read(fds[i].fd, buffer, sizeof buffer);
      if (n > 0)
        (i == 0 ? result.out : result.err).append(buffer, static_cast<std::size_t>(n));
      else
        (i == 0 ? out : err).close_end(0);
    }
  }
  return true;
}

}  // namespace

RunResult run(const std::vector<std::string>& argv, const std::string& input,
              std::chrono::seconds timeout) {
  // A file, so that a long input cannot block.
  const std::unique_ptr<FILE, int (*)(FILE*)> in(std::tmpfile(), std::fclose);
  REQUIRE(in != nullptr);
  REQUIRE(::write(::fileno(in.get()), input.data(), input.size()) ==
          static_cast<ssize_t>(input.size()));
  REQUIRE(::lseek(::fileno(in.get()), 0, SEEK_SET) == 0);
  Pipe out;
  Pipe err;
  const pid_t pid = spawn(argv, ::fileno(in.get()), out.fds[1], err.fds[1]);
  out.close_end(1);
  err.close_end(1);
  RunResult result;
  const bool ended = collect(out, err, result, Clock::now() + timeout);
  if (!ended) ::kill(pid, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  if (ended) result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace bftmeta::test
