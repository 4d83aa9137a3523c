// Names: links, renames with all flags, removal, limits.
#include <stdio.h>
#include <sys/sysmacros.h>

#include "place.hpp"

using namespace bftmeta::test;

namespace {
int rename_flags(const std::string& from, const std::string& to, unsigned flags) {
  return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
}
}  // namespace

TEST_CASE("rename replaces, refuses to with NOREPLACE, and swaps with EXCHANGE") {
  const Place p;
  write_file(p / "a", "A");
  write_file(p / "b", "B");
  CHECK(error_of([&] { return rename_flags(p / "a", p / "b", RENAME_NOREPLACE); }) == EEXIST);
  CHECK(rename_flags(p / "a", p / "c", RENAME_NOREPLACE) == 0);
  CHECK_FALSE(exists(p / "a"));
  CHECK(rename_flags(p / "c", p / "b", RENAME_EXCHANGE) == 0);
  CHECK(read_file(p / "b") == "A");
  CHECK(read_file(p / "c") == "B");
  CHECK(error_of([&] { return rename_flags(p / "b", p / "none", RENAME_EXCHANGE); }) == ENOENT);
  CHECK(rename_flags(p / "b", p / "c", 0) == 0);
  CHECK(read_file(p / "c") == "A");
  CHECK_FALSE(exists(p / "b"));
  CHECK(error_of([&] {
          return rename_flags(p / "c", p / "d", RENAME_EXCHANGE | RENAME_NOREPLACE);
        }) == EINVAL);
}

TEST_CASE("rename of directories") {
  const Place p;
  for (const char* name : {"d", "d/sub", "empty", "full"})
    REQUIRE(::mkdir((p / name).c_str(), 0755) == 0);
  write_file(p / "full/x", "x");
  write_file(p / "file", "f");
  const auto move = [&](const char* from, const char* to) {
    return error_of([&] { return ::rename((p / from).c_str(), (p / to).c_str()); });
  };
  CHECK(move("d", "d/sub/inside") == EINVAL);
  CHECK((move("d", "full") == ENOTEMPTY || move("d", "full") == EEXIST));
  CHECK(move("d", "file") == ENOTDIR);
  CHECK(move("file", "d") == EISDIR);
  CHECK(move("d", "empty") == 0);
  CHECK(exists(p / "empty/sub"));
  CHECK(stat_of(p / "empty").st_nlink == 3);
  CHECK(rename_flags(p / "empty", p / "file", RENAME_EXCHANGE) == 0);
  CHECK(S_ISDIR(stat_of(p / "file").st_mode));
  CHECK(stat_of(p / "file/sub/..").st_ino == stat_of(p / "file").st_ino);
}

TEST_CASE("hard links share everything and go one by one") {
  const Place p;
  write_file(p / "a", "one");
  REQUIRE(::link((p / "a").c_str(), (p / "b").c_str()) == 0);
  CHECK(stat_of(p / "a").st_ino == stat_of(p / "b").st_ino);
  CHECK(stat_of(p / "b").st_nlink == 2);
  write_file(p / "b", "two");
  CHECK(read_file(p / "a") == "two");
  CHECK(error_of([&] { return ::link((p / "a").c_str(), (p / "b").c_str()); }) == EEXIST);
  CHECK(error_of([&] { return ::link(p.path().c_str(), (p / "dir").c_str()); }) == EPERM);
  REQUIRE(::rename((p / "a").c_str(), (p / "b").c_str()) == 0);  // the same file: nothing happens
  CHECK(exists(p / "a"));
  REQUIRE(::unlink((p / "a").c_str()) == 0);
  CHECK(stat_of(p / "b").st_nlink == 1);
  CHECK(read_file(p / "b") == "two");
}

TEST_CASE("symbolic links") {
  const Place p;
  const std::string target(4000, 't');
  REQUIRE(::symlink(target.c_str(), (p / "long").c_str()) == 0);
  std::string read(5000, '\0');
  CHECK(::readlink((p / "long").c_str(), read.data(), read.size()) == 4000);
  CHECK(stat_of(p / "long").st_size == 4000);
  write_file(p / "file", "content");
  REQUIRE(::symlink("file", (p / "short").c_str()) == 0);
  CHECK(read_file(p / "short") == "content");
  REQUIRE(::symlink("loop", (p / "loop").c_str()) == 0);
  CHECK(error_of([&] { return ::open((p / "loop").c_str(), O_RDONLY); }) == ELOOP);
  CHECK(error_of([&] { return ::open((p / "short").c_str(), O_RDONLY | O_NOFOLLOW); }) == ELOOP);
  CHECK(error_of([&] {
          return static_cast<int>(::readlink((p / "file").c_str(), read.data(), 10));
        }) == EINVAL);
}

TEST_CASE("directories: counts, removal, limits of names") {
  const Place p;
  REQUIRE(::mkdir((p / "d").c_str(), 0755) == 0);
  REQUIRE(::mkdir((p / "d/e").c_str(), 0755) == 0);
  CHECK(error_of([&] { return ::rmdir((p / "d").c_str()); }) == ENOTEMPTY);
  CHECK(error_of([&] { return ::mkdir((p / "d").c_str(), 0755); }) == EEXIST);
  REQUIRE(::rmdir((p / "d/e").c_str()) == 0);
  write_file(p / "d/f", "");
  CHECK(error_of([&] { return ::rmdir((p / "d/f").c_str()); }) == ENOTDIR);
  const int removed = error_of([&] { return ::unlink((p / "d").c_str()); });
  CHECK((removed == EISDIR || removed == EPERM));
  write_file(p / std::string(255, 'n'), "");
  CHECK(exists(p / std::string(255, 'n')));
  CHECK(error_of([&] { return ::mkdir((p / std::string(256, 'n')).c_str(), 0755); }) ==
        ENAMETOOLONG);
  write_file(p / "odd \xff\xfe name\n", "x");
  CHECK(read_file(p / "odd \xff\xfe name\n") == "x");
}

TEST_CASE("fifos, sockets by mknod, and regular files by mknod") {
  const Place p;
  REQUIRE(::mkfifo((p / "fifo").c_str(), 0600) == 0);
  CHECK(S_ISFIFO(stat_of(p / "fifo").st_mode));
  REQUIRE(::mknod((p / "socket").c_str(), S_IFSOCK | 0600, 0) == 0);
  CHECK(S_ISSOCK(stat_of(p / "socket").st_mode));
  REQUIRE(::mknod((p / "regular").c_str(), S_IFREG | 0640, 0) == 0);
  CHECK(S_ISREG(stat_of(p / "regular").st_mode));
}

TEST_CASE("an unlinked file stays as long as it is open, also when renamed over") {
  const Place p;
  write_file(p / "a", "first");
  write_file(p / "b", "second");
  const Fd a(p / "a", O_RDWR);
  const Fd b(p / "b", O_RDWR);
  REQUIRE(::unlink((p / "a").c_str()) == 0);
  CHECK_FALSE(exists(p / "a"));
  CHECK(read_file(a, 10) == "first");
  REQUIRE(::pwrite(a, "FIR", 3, 0) == 3);
  REQUIRE(::fsync(a) == 0);
  CHECK(read_file(a, 10) == "FIRst");
  struct stat st {};
  REQUIRE(::fstat(a, &st) == 0);
  CHECK(st.st_nlink == 0);
  CHECK(st.st_size == 5);
  write_file(p / "c", "third");
  REQUIRE(::rename((p / "c").c_str(), (p / "b").c_str()) == 0);
  CHECK(read_file(b, 10) == "second");
  CHECK(read_file(p / "b") == "third");
  REQUIRE(::ftruncate(b, 3) == 0);
  CHECK(read_file(b, 10) == "sec");
}
