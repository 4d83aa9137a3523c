// Where the tests of this folder work: a fresh directory below $BFTMETA_TEST_DIR, or below the
// system's temporary directory. They ask for what POSIX and Linux promise, so that they pass on any
// good file system and have to pass on a mount of ours.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace bftmeta::test {

class Place {
 public:
  Place() {
    const char* base = std::getenv("BFTMETA_TEST_DIR");
    path_ =
        (base != nullptr ? std::filesystem::path(base) : std::filesystem::temp_directory_path()) /
        "posix-XXXXXX";
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  ~Place() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) { REQUIRE(fd >= 0); }
  Fd(const std::string& path, int flags, mode_t mode = 0644)
      : Fd(::open(path.c_str(), flags, mode)) {}
  ~Fd() { close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  operator int() const { return fd_; }
  int close() {
    const int result = fd_ < 0 ? 0 : ::close(fd_);
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

// errno of a call that must fail, 0 if it did not.
template <class Call>
int error_of(Call&& call) {
  errno = 0;
  return call() < 0 ? errno : 0;
}

inline void write_file(const std::string& path, const std::string& content, mode_t mode = 0644) {
  Fd fd(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  REQUIRE(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  REQUIRE(fd.close() == 0);
}

inline std::string read_file(int fd, std::size_t size, off_t at = 0) {
  std::string out(size, '\0');
  const ssize_t got = ::pread(fd, out.data(), size, at);
  REQUIRE(got >= 0);
  out.resize(static_cast<std::size_t>(got));
  return out;
}
inline std::string read_file(const std::string& path) {
  const Fd fd(path, O_RDONLY);
  std::string all;
  for (;;) {
    const std::string part = read_file(fd, 1 << 20, static_cast<off_t>(all.size()));
    if (part.empty()) return all;
    all += part;
  }
}

inline struct stat stat_of(const std::string& path) {
  struct stat st {};
  REQUIRE(::lstat(path.c_str(), &st) == 0);
  return st;
}
inline bool exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

}  // namespace bftmeta::test
