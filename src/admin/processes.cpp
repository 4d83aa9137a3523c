#include "admin/processes.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "crypto/files.hpp"

extern "C" {  // glibc 2.36 forgot to say so in it
#include <sys/pidfd.h>
}

namespace bftmeta::admin {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxSaid = 64 * 1024;  // kept of what a program says

std::string proc(pid_t pid, const char* file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

std::string first_line_of(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string boot_id() { return first_line_of("/proc/sys/kernel/random/boot_id"); }

// Fields of /proc/PID/stat from the third on: the second, the name, may contain anything.
std::vector<std::string> stat_fields(pid_t pid) {
  const std::string line = first_line_of(proc(pid, "stat"));
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream in(line.substr(name_end + 1));
  return {std::istream_iterator<std::string>(in), {}};
}

constexpr std::size_t kState = 0, kUserTicks = 11, kSystemTicks = 12, kStartTicks = 19;

// nullopt: gone.
std::optional<Process> identify_any(pid_t pid) {
  const std::vector<std::string> fields = stat_fields(pid);
  if (fields.size() <= kStartTicks) return std::nullopt;
  return Process{pid, std::stoull(fields[kStartTicks])};
}

// nullopt: gone, or a zombie.
std::optional<Process> identify(pid_t pid) {
  const std::vector<std::string> fields = stat_fields(pid);
  if (fields.empty() || fields[kState] == "Z" || fields[kState] == "X") return std::nullopt;
  return identify_any(pid);
}

// Of this boot; nullopt when there is none.
std::optional<Process> recorded_process(const std::string& pid_file) {
  std::ifstream in(pid_file);
  Process recorded;
  std::string boot;
  if (!(in >> recorded.pid >> recorded.start_ticks >> boot) || boot != boot_id())
    return std::nullopt;
  return recorded;
}

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_, O_CLOEXEC) != 0) ends_[0] = ends_[1] = -1;
  }
  ~Pipe() {
    for (const int end : ends_)
      if (end >= 0) ::close(end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  bool ok() const { return ends_[0] >= 0; }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void close_write_end() {
    ::close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  int ends_[2];
};

Result<pid_t> spawn(const std::vector<std::string>& argv, int out, int err, bool detach) {
  std::vector<char*> raw;
  for (const std::string& arg : argv) raw.push_back(const_cast<char*>(arg.c_str()));
  raw.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out, 1);
  ::posix_spawn_file_actions_adddup2(&actions, err, 2);
  if (detach) ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, raw[0], &actions, &attributes, raw.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == 0) return pid;
  return fail(Errc::io, "cannot start " + argv[0] + ": " + std::generic_category().message(error));
}

// Reads until a newline, or (whole) until the other end is closed. False: the deadline came first.
bool read_until(int fd, bool whole, Clock::time_point deadline, std::string& said) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd entry{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&entry, 1, static_cast<int>(left.count())) == 0) return false;
    char buffer[4096];
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    said.append(buffer, static_cast<std::size_t>(n));
    if (said.size() > kMaxSaid) said.erase(0, said.size() - kMaxSaid);
    if (!whole && said.find('\n') != std::string::npos) return true;
  }
}

std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of("\n\r ");
  if (end == std::string::npos) return "";
  const std::size_t start = text.find_last_of('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1,
                     end - (start == std::string::npos ? 0 : start + 1) + 1);
}

std::string last_line_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(0, std::ios::end);
  const auto size = static_cast<std::streamoff>(in.tellg());
  in.seekg(std::max<std::streamoff>(0, size - static_cast<std::streamoff>(kMaxSaid)));
  return last_line({std::istreambuf_iterator<char>(in), {}});
}

// The reverse of exit_code_of, coarsely: a program's error stays one of its kind.
Errc errc_of_exit(int status) {
  if (!WIFEXITED(status)) return Errc::io;
  switch (static_cast<ExitCode>(WEXITSTATUS(status))) {
    case ExitCode::usage: return Errc::config;
    case ExitCode::unreachable: return Errc::unreachable;
    case ExitCode::verification_failed: return Errc::unverified;
    case ExitCode::permission: return Errc::permission;
    default: return Errc::io;
  }
}

Error ended_with(const std::string& program, int status, std::string said) {
  if (said.empty())
    said = program + (WIFEXITED(status)
                          ? " ended with exit code " + std::to_string(WEXITSTATUS(status))
                          : " died of signal " + std::to_string(WTERMSIG(status)));
  return {errc_of_exit(status), std::move(said)};
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Result<std::string> sibling_program(const std::string& name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = (self.parent_path() / name).string();
  if (!error && ::access(path.c_str(), X_OK) == 0) return path;
  return fail(Errc::not_found, "program " + path +
                                   " is missing: bftadm starts the one that lies next to it; "
                                   "build or install all programs together");
}

Result<Daemon> start_daemon(const std::vector<std::string>& argv, const std::string& log,
                            std::chrono::milliseconds timeout) {
  const int log_fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_fd < 0)
    return fail(Errc::io, "log file " + log + ": " + std::generic_category().message(errno));
  Pipe out;
  if (!out.ok()) {
    ::close(log_fd);
    return fail(Errc::io, "cannot make a pipe: " + std::generic_category().message(errno));
  }
  const Result<pid_t> pid = spawn(argv, out.write_end(), log_fd, true);
  ::close(log_fd);
  if (!pid) return tl::make_unexpected(pid.error());
  out.close_write_end();
  Daemon daemon;
  const bool in_time = read_until(out.read_end(), false, Clock::now() + timeout, daemon.first_line);
  const std::size_t end = daemon.first_line.find('\n');
  const auto process = identify(*pid);
  if (end == std::string::npos || !process) {
    if (!in_time) ::kill(*pid, SIGKILL);  // our own child, not reaped yet
    const int status = reap(*pid);
    if (in_time) return tl::make_unexpected(ended_with(argv[0], status, last_line_of_file(log)));
    return fail(Errc::unreachable, argv[0] + ": not ready after " +
                                       std::to_string(timeout.count()) + " ms; see " + log);
  }
  daemon.process = *process;
  daemon.first_line.resize(end);
  std::ofstream(log, std::ios::app) << daemon.first_line << '\n';
  return daemon;
}

Status run_program(const std::vector<std::string>& argv) {
  Pipe err;
  if (!err.ok())
    return fail(Errc::io, "cannot make a pipe: " + std::generic_category().message(errno));
  BFTMETA_ASSIGN(const pid_t pid, spawn(argv, err.write_end(), err.write_end(), false));
  err.close_write_end();
  std::string said;
  constexpr std::chrono::minutes kPatience{2};
  if (!read_until(err.read_end(), true, Clock::now() + kPatience, said)) ::kill(pid, SIGKILL);
  const int status = reap(pid);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return tl::make_unexpected(ended_with(argv[0], status, last_line(said)));
}

Status write_pid_file(const std::string& path, const Process& process) {
  return crypto::replace_file(path,
                              view(std::to_string(process.pid) + " " +
                                   std::to_string(process.start_ticks) + " " + boot_id() + "\n"),
                              crypto::FileMode::public_file);
}

std::optional<Process> running_process(const std::string& pid_file) {
  const auto recorded = recorded_process(pid_file);
  if (!recorded || identify(recorded->pid) != recorded) return std::nullopt;
  return recorded;
}

void await_end(const std::string& pid_file, std::chrono::milliseconds patience) {
  const auto recorded = recorded_process(pid_file);
  if (!recorded) return;
  const int fd = ::pidfd_open(recorded->pid, 0);
  if (fd < 0) return;
  pollfd entry{fd, POLLIN, 0};
  if (identify_any(recorded->pid) == recorded)
    ::poll(&entry, 1, static_cast<int>(patience.count()));
  ::close(fd);
}

Result<Ending> Ending::begin(const Process& process) {
  const int fd = ::pidfd_open(process.pid, 0);
  if (fd < 0 && errno == ESRCH) return Ending(-1);
  if (fd < 0)
    return fail(Errc::io, "process " + std::to_string(process.pid) + ": " +
                              std::generic_category().message(errno));
  Ending ending(fd);
  // The descriptor is of the right process if that is still alive now.
  if (identify(process.pid) != process) return Ending(-1);
  if (::pidfd_send_signal(fd, SIGTERM, nullptr, 0) != 0 && errno != ESRCH)
    return fail(errno == EPERM ? Errc::permission : Errc::io,
                "process " + std::to_string(process.pid) +
                    " cannot be stopped: " + std::generic_category().message(errno));
  return ending;
}

Ending::~Ending() {
  if (fd_ >= 0) ::close(fd_);
}

bool Ending::wait(std::chrono::milliseconds grace) {
  if (fd_ < 0) return true;
  pollfd entry{fd_, POLLIN, 0};
  if (::poll(&entry, 1, static_cast<int>(grace.count())) > 0) return true;
  ::pidfd_send_signal(fd_, SIGKILL, nullptr, 0);
  ::poll(&entry, 1, -1);
  return false;
}

std::optional<Usage> usage_of(pid_t pid, const std::string& program) {
  std::error_code error;
  const auto exe = std::filesystem::read_symlink(proc(pid, "exe"), error);
  if (error || !exe.filename().string().starts_with(program)) return std::nullopt;
  const std::vector<std::string> fields = stat_fields(pid);
  if (fields.size() <= kStartTicks) return std::nullopt;
  Usage usage;
  const auto ticks_per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  usage.cpu_us = (std::stoull(fields[kUserTicks]) + std::stoull(fields[kSystemTicks])) * 1'000'000 /
                 ticks_per_second;
  std::ifstream status(proc(pid, "status"));
  for (std::string word; status >> word;) {
    std::uint64_t kib = 0;
    if (word == "RssAnon:" && status >> kib) usage.rss_anon_bytes = kib * 1024;
  }
  return usage;
}

}  // namespace bftmeta::admin
