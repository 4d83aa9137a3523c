// Who may do what. Needs root, because it acts as other users in threads of its own (the kernel
// keeps credentials per thread).
#include <grp.h>
#include <sys/syscall.h>

#include <thread>

#include "place.hpp"

using namespace bftmeta::test;

namespace {

constexpr uid_t kAlice = 12345;
constexpr uid_t kBob = 23456;
constexpr gid_t kTeam = 34567;

// Runs in a thread that is this user for everything; the errno, 0 for success.
template <class Call>
int as(uid_t uid, gid_t gid, std::vector<gid_t> groups, Call&& call) {
  int result = -1;
  std::thread([&] {
    if (::syscall(SYS_setgroups, groups.size(), groups.data()) != 0 ||
        ::syscall(SYS_setresgid, gid, gid, gid) != 0 ||
        ::syscall(SYS_setresuid, uid, uid, uid) != 0)
      return;
    result = error_of(call);
  }).join();
  return result;
}

int try_open(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags, 0644);
  if (fd >= 0) ::close(fd);
  return fd;
}

}  // namespace

TEST_CASE("mode bits decide for owner, group and others") {
  if (::geteuid() != 0) return;
  const Place p;
  REQUIRE(::chmod(p.path().c_str(), 0755) == 0);
  write_file(p / "f", "x");
  REQUIRE(::chown((p / "f").c_str(), kAlice, kTeam) == 0);
  REQUIRE(::chmod((p / "f").c_str(), 0640) == 0);
  const auto open_as = [&](uid_t uid, gid_t gid, std::vector<gid_t> groups, int flags) {
    return as(uid, gid, groups, [&] { return try_open(p / "f", flags); });
  };
  CHECK(open_as(kAlice, kAlice, {}, O_RDWR) == 0);
  CHECK(open_as(kBob, kTeam, {}, O_RDONLY) == 0);
  CHECK(open_as(kBob, kBob, {kTeam}, O_RDONLY) == 0);
  CHECK(open_as(kBob, kTeam, {}, O_WRONLY) == EACCES);
  CHECK(open_as(kBob, kBob, {}, O_RDONLY) == EACCES);
  CHECK(as(kBob, kBob, {}, [&] { return ::chmod((p / "f").c_str(), 0777); }) == EPERM);
  CHECK(as(kAlice, kAlice, {}, [&] { return ::chown((p / "f").c_str(), kBob, kBob); }) == EPERM);
  CHECK(as(kBob, kBob, {}, [&] { return try_open(p / "new", O_CREAT | O_WRONLY); }) == EACCES);
  CHECK(as(kBob, kBob, {}, [&] { return ::unlink((p / "f").c_str()); }) == EACCES);
  CHECK(try_open(p / "f", O_RDWR) >= 0);  // root
}

TEST_CASE("a file made read-only by its own open can still be written through that handle") {
  if (::geteuid() != 0) return;
  const Place p;
  REQUIRE(::chmod(p.path().c_str(), 0777) == 0);
  CHECK(as(kAlice, kAlice, {}, [&] {
          const int fd = ::open((p / "f").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0444);
          if (fd < 0) return -1;
          const bool written = ::write(fd, "data", 4) == 4 && ::fsync(fd) == 0;
          return ::close(fd) == 0 && written ? 0 : -1;
        }) == 0);
  CHECK(read_file(p / "f") == "data");
  CHECK(stat_of(p / "f").st_uid == kAlice);
  CHECK((stat_of(p / "f").st_mode & 0777) == 0444);
}

TEST_CASE("sticky and setgid directories") {
  if (::geteuid() != 0) return;
  const Place p;
  REQUIRE(::mkdir((p / "shared").c_str(), 0755) == 0);
  REQUIRE(::chmod(p.path().c_str(), 0755) == 0);
  REQUIRE(::chown((p / "shared").c_str(), 0, kTeam) == 0);
  REQUIRE(::chmod((p / "shared").c_str(), 03777) == 0);
  const std::string file = p / "shared/f";
  CHECK(as(kAlice, kAlice, {}, [&] { return try_open(file, O_CREAT | O_WRONLY); }) == 0);
  CHECK(stat_of(file).st_gid == kTeam);
  CHECK(as(kBob, kBob, {}, [&] { return ::unlink(file.c_str()); }) == EPERM);
  CHECK(as(kBob, kBob, {}, [&] { return ::rename(file.c_str(), (p / "shared/g").c_str()); }) ==
        EPERM);
  REQUIRE(::mkdir((p / "shared/sub").c_str(), 0755) == 0);
  CHECK((stat_of(p / "shared/sub").st_mode & S_ISGID) != 0);
  CHECK(as(kAlice, kAlice, {}, [&] { return ::unlink(file.c_str()); }) == 0);
}

TEST_CASE("a write by somebody else clears setuid") {
  if (::geteuid() != 0) return;
  const Place p;
  REQUIRE(::chmod(p.path().c_str(), 0755) == 0);
  const std::string file = p / "f";
  REQUIRE(as(0, 0, {}, [&] {
            const int fd = ::open(file.c_str(), O_CREAT | O_WRONLY, 0777);
            return fd < 0 ? -1 : ::close(fd);
          }) == 0);
  REQUIRE(::chmod(file.c_str(), 04777) == 0);
  CHECK(as(kBob, kBob, {}, [&] {
          const int fd = ::open(file.c_str(), O_WRONLY);
          if (fd < 0) return -1;
          const bool written = ::write(fd, "x", 1) == 1;
          return ::close(fd) == 0 && written ? 0 : -1;
        }) == 0);
  CHECK((stat_of(file).st_mode & S_ISUID) == 0);
}

TEST_CASE("search permission of a directory") {
  if (::geteuid() != 0) return;
  const Place p;
  REQUIRE(::chmod(p.path().c_str(), 0755) == 0);
  REQUIRE(::mkdir((p / "d").c_str(), 0700) == 0);
  write_file(p / "d/f", "x");
  CHECK(as(kBob, kBob, {}, [&] { return try_open(p / "d/f", O_RDONLY); }) == EACCES);
  REQUIRE(::chmod((p / "d").c_str(), 0711) == 0);
  CHECK(as(kBob, kBob, {}, [&] { return try_open(p / "d/f", O_RDONLY); }) == 0);
  CHECK(as(kBob, kBob, {}, [&] { return try_open(p / "d", O_RDONLY | O_DIRECTORY); }) == EACCES);
}
