// Which process a pid file means, and when it is gone.
#include "admin/processes.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "support/temp_dir.hpp"

using namespace bftmeta;
using namespace bftmeta::admin;
using namespace std::chrono_literals;

namespace {

// A child that ends when it is told to, and its pid file.
struct Child {
  Child() {
    REQUIRE(::pipe(ends) == 0);
    pid = ::fork();
    if (pid == 0) {
      char byte = 0;
      ::close(ends[1]);
      [[maybe_unused]] const ssize_t n = ::read(ends[0], &byte, 1);
      ::_exit(0);
    }
    ::close(ends[0]);
    REQUIRE(write_pid_file(file, {pid, start_ticks()}).has_value());
  }
  ~Child() {
    end();
    ::waitpid(pid, nullptr, 0);
  }
  void end() {
    if (ends[1] >= 0) ::close(ends[1]);
    ends[1] = -1;
  }
  std::uint64_t start_ticks() const {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(in, line);
    std::istringstream fields(line.substr(line.rfind(')') + 1));
    const std::vector<std::string> words{std::istream_iterator<std::string>(fields), {}};
    return std::stoull(words.at(19));
  }

  test::TempDir dir;
  const std::string file = dir.path() + "/pid";
  int ends[2];
  pid_t pid = -1;
};

}  // namespace

TEST_CASE("processes: one that ends is waited for, a zombie is not") {
  Child child;
  REQUIRE(running_process(child.file).has_value());
  await_end(child.file, 20ms);
  CHECK(running_process(child.file).has_value());
  child.end();
  await_end(child.file, 60s);
  CHECK_FALSE(running_process(child.file).has_value());
  await_end(child.file, 60s);  // nobody has reaped it: the test would time out
}

TEST_CASE("processes: another process with the same pid is not waited for") {
  Child child;
  REQUIRE(write_pid_file(child.file, {child.pid, child.start_ticks() - 1}).has_value());
  CHECK_FALSE(running_process(child.file).has_value());
  await_end(child.file, 60s);  // the child lives: the test would time out
}
