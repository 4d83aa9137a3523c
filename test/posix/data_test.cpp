// Contents: appending, truncation, holes, mappings, several handles.
#include <sys/mman.h>

#include <linux/falloc.h>

#include <thread>

#include "place.hpp"

using namespace bftmeta::test;

TEST_CASE("O_APPEND writes at the end whatever the offset") {
  const Place p;
  write_file(p / "f", "start ");
  const Fd one(p / "f", O_WRONLY | O_APPEND);
  const Fd two(p / "f", O_WRONLY | O_APPEND);
  for (int i = 0; i < 20; ++i) {
    REQUIRE(::write(one, "1", 1) == 1);
    REQUIRE(::write(two, "2", 1) == 1);
  }
  std::string expected = "start ";
  for (int i = 0; i < 20; ++i) expected += "12";
  CHECK(read_file(p / "f") == expected);
}

TEST_CASE("truncate and extend: what appears again is zeros") {
  const Place p;
  for (const std::size_t size : {std::size_t{1000}, std::size_t{3000}, std::size_t{2'500'000}}) {
    const std::string path = p / std::to_string(size);
    write_file(path, std::string(size, 'x'));
    REQUIRE(::truncate(path.c_str(), static_cast<off_t>(size / 2)) == 0);
    REQUIRE(::truncate(path.c_str(), static_cast<off_t>(size)) == 0);
    CHECK((read_file(path) == std::string(size / 2, 'x') + std::string(size - size / 2, '\0')));
    // The same on an open file that is not written back yet.
    const Fd fd(path, O_RDWR | O_TRUNC);
    CHECK(stat_of(path).st_size == 0);
    REQUIRE(::pwrite(fd, "abcdef", 6, 0) == 6);
    REQUIRE(::ftruncate(fd, 3) == 0);
    REQUIRE(::ftruncate(fd, 5) == 0);
    CHECK((read_file(fd, 10) == std::string("abc\0\0", 5)));
  }
  write_file(p / "f", "x");
  CHECK(error_of([&] { return ::truncate((p / "f").c_str(), -1); }) == EINVAL);
}

TEST_CASE("sparse files") {
  const Place p;
  const Fd fd(p / "f", O_RDWR | O_CREAT);
  constexpr off_t kFar = 10'000'000;
  REQUIRE(::pwrite(fd, "end", 3, kFar) == 3);
  struct stat st {};
  REQUIRE(::fstat(fd, &st) == 0);
  CHECK(st.st_size == kFar + 3);
  CHECK((read_file(fd, 1000, 5'000'000) == std::string(1000, '\0')));
  CHECK(read_file(fd, 10, kFar) == "end");
  REQUIRE(::fsync(fd) == 0);
  CHECK((read_file(fd, 1000, 5'000'000) == std::string(1000, '\0')));
  const off_t data = ::lseek(fd, 0, SEEK_DATA);
  CHECK((data >= 0 && data <= kFar));
  CHECK(::lseek(fd, kFar, SEEK_HOLE) == kFar + 3);
  CHECK(error_of([&] { return static_cast<int>(::lseek(fd, kFar + 3, SEEK_DATA)); }) == ENXIO);
}

TEST_CASE("fallocate extends; a punched hole reads as zeros and keeps the size") {
  const Place p;
  const Fd fd(p / "f", O_RDWR | O_CREAT);
  const int supported = error_of([&] { return ::fallocate(fd, 0, 0, 3'000'000); });
  if (supported == EOPNOTSUPP) return;
  REQUIRE(supported == 0);
  CHECK(stat_of(p / "f").st_size == 3'000'000);
  REQUIRE(::pwrite(fd, std::string(3'000'000, 'x').data(), 3'000'000, 0) == 3'000'000);
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (error_of([&] { return ::fallocate(fd, kPunch, 100, 2'000'000); }) == EOPNOTSUPP) return;
  std::string expected(3'000'000, 'x');
  std::fill_n(expected.begin() + 100, 2'000'000, '\0');
  CHECK((read_file(p / "f") == expected));
  REQUIRE(::fsync(fd) == 0);
  CHECK((read_file(p / "f") == expected));
}

TEST_CASE("partial overwrites of a large file, seen by another handle at once") {
  const Place p;
  std::string expected(2'200'000, 'a');
  write_file(p / "f", expected);
  const Fd writer(p / "f", O_WRONLY);
  const Fd reader(p / "f", O_RDONLY);
  for (const off_t at : {off_t{0}, off_t{1'048'570}, off_t{2'199'990}, off_t{500'000}}) {
    REQUIRE(::pwrite(writer, "0123456789ABCDEF", 16, at) == 16);
    expected.resize(std::max<std::size_t>(expected.size(), static_cast<std::size_t>(at) + 16));
    expected.replace(static_cast<std::size_t>(at), 16, "0123456789ABCDEF");
    CHECK(read_file(reader, 16, at) == "0123456789ABCDEF");
  }
  struct stat st {};
  REQUIRE(::fstat(reader, &st) == 0);
  CHECK(st.st_size == static_cast<off_t>(expected.size()));
  REQUIRE(::fsync(writer) == 0);
  CHECK((read_file(p / "f") == expected));
}

TEST_CASE("a shared mapping and read/write see each other") {
  const Place p;
  write_file(p / "f", std::string(10'000, 'm'));
  const Fd fd(p / "f", O_RDWR);
  void* map = ::mmap(nullptr, 10'000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(map != MAP_FAILED);
  char* bytes = static_cast<char*>(map);
  CHECK(bytes[9'999] == 'm');
  bytes[5'000] = 'W';
  REQUIRE(::msync(map, 10'000, MS_SYNC) == 0);
  CHECK(read_file(fd, 1, 5'000) == "W");
  REQUIRE(::pwrite(fd, "R", 1, 6'000) == 1);
  CHECK(bytes[6'000] == 'R');
  REQUIRE(::munmap(map, 10'000) == 0);
  std::string expected(10'000, 'm');
  expected[5'000] = 'W';
  expected[6'000] = 'R';
  CHECK((read_file(p / "f") == expected));
}

TEST_CASE("times: writes move them, utimensat sets them, and a later close does not change that") {
  const Place p;
  write_file(p / "f", "x");
  const timespec wanted[2] = {{1'000'000, 5}, {2'000'000, 123'456'789}};
  {
    const Fd fd(p / "f", O_WRONLY);
    REQUIRE(::write(fd, "yz", 2) == 2);
    REQUIRE(::futimens(fd, wanted) == 0);
  }
  const struct stat st = stat_of(p / "f");
  CHECK(st.st_atim.tv_sec == 1'000'000);
  CHECK(st.st_mtim.tv_sec == 2'000'000);
  CHECK(st.st_mtim.tv_nsec == 123'456'789);
  const struct stat before = stat_of(p.path());
  ::usleep(20'000);
  write_file(p / "g", "");
  const struct stat after = stat_of(p.path());
  CHECK((after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
         (after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
          after.st_mtim.tv_nsec > before.st_mtim.tv_nsec)));
}

TEST_CASE("what two threads write to different parts of a file is all there") {
  const Place p;
  const Fd fd(p / "f", O_RDWR | O_CREAT);
  const auto write_every_other = [&](char letter, off_t first) {
    const std::string part(4096, letter);
    for (int i = 0; i < 100; ++i)
      static_cast<void>(!::pwrite(fd, part.data(), part.size(), (first + 2 * i) * 4096));
  };
  std::thread a(write_every_other, 'a', 0);
  std::thread b(write_every_other, 'b', 1);
  a.join();
  b.join();
  std::string expected;
  for (int i = 0; i < 100; ++i) expected += std::string(4096, 'a') + std::string(4096, 'b');
  CHECK((read_file(p / "f") == expected));
}
