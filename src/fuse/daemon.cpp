#include "fuse/daemon.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/bytes.hpp"
#include "fuse/log.hpp"

namespace bftmeta::fuse {

namespace {

// One byte of exit code, then the message.
void tell(int pipe, int code, const std::string& message) {
  std::string text(1, static_cast<char>(code));
  text += message;
  // The reader is our own parent; if it is gone there is nobody to tell.
  static_cast<void>(!::write(pipe, text.data(), text.size()));
  ::close(pipe);
}

[[noreturn]] void wait_for_child(int pipe, pid_t child) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t n = ::read(pipe, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  if (text.empty()) {
    int status = 0;
    ::waitpid(child, &status, 0);
    std::fprintf(stderr, "bftfs: ended before it had mounted (status %d)\n", status);
    std::_Exit(static_cast<int>(ExitCode::failed));
  }
  if (text.size() > 1) std::fprintf(stderr, "bftfs: %s\n", text.c_str() + 1);
  std::_Exit(text[0]);
}

void leave_terminal() {
  ::setsid();
  static_cast<void>(!::chdir("/"));
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  ::close(null);
}

}  // namespace

Result<Daemon> Daemon::before_threads(bool foreground) {
  if (foreground) return Daemon(-1);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(Errc::io, "cannot make a pipe");
  const pid_t child = ::fork();
  if (child < 0) return fail(Errc::io, "cannot fork");
  if (child > 0) {
    ::close(ends[1]);
    wait_for_child(ends[0], child);
  }
  ::close(ends[0]);
  return Daemon(ends[1]);
}

void Daemon::ready() {
  if (pipe_ < 0) return;
  log_to_syslog();
  leave_terminal();
  tell(pipe_, 0, "");
  pipe_ = -1;
}

int Daemon::failed(const Error& error) {
  const int code = static_cast<int>(exit_code_of(error.code));
  if (pipe_ >= 0)
    tell(pipe_, code, error.message);
  else
    log_line(error.message);
  pipe_ = -1;
  return code;
}

}  // namespace bftmeta::fuse
