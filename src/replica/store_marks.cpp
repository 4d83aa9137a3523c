#include "replica/store_marks.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "storage/lmdb_guard.hpp"

namespace bftmeta::replica {

namespace {

constexpr std::array kSignals{SIGBUS, SIGSEGV, SIGABRT};
// Of the handler: written before it is installed.
int suspicion_fd = -1;
int crash_fd = -1;
std::array<struct sigaction, kSignals.size()> before;

// The handler that was there before gets the signal again, as soon as this one has returned.
void on_crash(int signal) {
  static constexpr char kWhy[] = "the process ended by a signal while it read the state store";
  const int fd = storage::in_lmdb() ? suspicion_fd : crash_fd;
  const ssize_t written = ::write(fd, kWhy, sizeof(kWhy) - 1);
  static_cast<void>(written);  // nothing better can be done here
  for (std::size_t i = 0; i < kSignals.size(); ++i)
    if (kSignals[i] == signal) ::sigaction(signal, &before[i], nullptr);
  ::raise(signal);
}

void install_handlers() {
  struct sigaction action {};
  action.sa_handler = on_crash;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction old {};
    ::sigaction(kSignals[i], &action, &old);
    if (old.sa_handler != on_crash) before[i] = old;
  }
}

// The handler has no time to open it.
Status keep_open(const std::string& path, int& kept) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Errc::io, path + ": cannot open: " + std::strerror(errno));
  if (const int old = std::exchange(kept, fd); old >= 0) ::close(old);
  return {};
}

}  // namespace

Result<std::string> StoreMarks::suspicion() { return read(suspicion_path()); }

Result<bool> StoreMarks::crashed() {
  BFTMETA_ASSIGN(const std::string mark, read(crash_path()));
  return !mark.empty();
}

Status StoreMarks::forget_crash() { return forget(crash_path()); }

Result<std::string> StoreMarks::read(const std::string& path) {
  BFTMETA_ASSIGN(const bool present, fs_.exists(path));
  if (!present) return "";
  constexpr std::size_t kLongest = 4096;
  BFTMETA_ASSIGN(const Bytes mark, storage::read_file(fs_, path, kLongest));
  return std::string(mark.begin(), mark.end());
}

Status StoreMarks::forget(const std::string& path) {
  BFTMETA_ASSIGN(const bool present, fs_.exists(path));
  if (!present) return {};
  return fs_.unlink(path);
}

Status StoreMarks::suspect(const std::string& why) {
  return storage::write_file(fs_, suspicion_path(), view(why));
}

Status StoreMarks::arm() {
  BFTMETA_TRY(keep_open(suspicion_path(), suspicion_fd));
  BFTMETA_TRY(keep_open(crash_path(), crash_fd));
  install_handlers();
  return {};
}

Result<std::int64_t> StoreMarks::last_time() {
  BFTMETA_ASSIGN(const std::string text, read(record_path()));
  std::int64_t seconds = 0;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return seconds;  // 0: there is none, or it is damaged
}

Status StoreMarks::remove_store(const std::string& path) {
  BFTMETA_ASSIGN(const bool present, fs_.exists(path));
  if (!present) return {};
  BFTMETA_ASSIGN(const auto names, fs_.list(path));
  for (const std::string& name : names) BFTMETA_TRY(fs_.unlink(path + "/" + name));
  return fs_.remove_directory(path);
}

// The marks go last: a crash before that does all of it again, of a store that is gone.
Status StoreMarks::set_aside(const std::string& why, std::int64_t now_s) {
  const std::string store = data_dir_ + "/state";
  BFTMETA_ASSIGN(const bool present, fs_.exists(store));
  if (present) {
    BFTMETA_ASSIGN(const std::int64_t last, last_time());
    if (std::abs(now_s - last) < kInARow)
      return fail(Errc::corrupt,
                  why + "; and it was set aside " + std::to_string(std::abs(now_s - last)) +
                      " s ago already: the disk or the memory of this machine fails, or the "
                      "program does. This replica stays down; to try again, remove " +
                      record_path());
    BFTMETA_TRY(remove_store(store + ".damaged"));
    BFTMETA_TRY(fs_.rename(store, store + ".damaged"));
    BFTMETA_TRY(fs_.sync_directory(data_dir_));
  }
  BFTMETA_TRY(storage::write_file(fs_, record_path(), view(std::to_string(now_s))));
  BFTMETA_TRY(forget(suspicion_path()));
  BFTMETA_TRY(forget(crash_path()));
  return fs_.sync_directory(data_dir_);
}

}  // namespace bftmeta::replica
