// The book of damaged places, and what a data directory remembers of a store that was given up.
#include "replica/repairs.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "replica/store_marks.hpp"
#include "storage/lmdb_guard.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using replica::Repairs;
using replica::StoreMarks;

namespace {

tree::Subtree place(std::uint8_t n) {
  tree::Subtree p;
  p.region.prefix = Key(Bytes{n});
  p.region.bits = 8;
  p.hash[0] = n;
  return p;
}

// How a process ends that gets `signal`, in LMDB or not.
int end_by(StoreMarks& marks, int signal, bool in_lmdb) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    for (const int s : {SIGBUS, SIGSEGV, SIGABRT}) ::signal(s, SIG_DFL);
    if (!marks.arm()) ::_exit(1);
    std::optional<storage::LmdbScope> scope;
    if (in_lmdb) scope.emplace();
    ::raise(signal);
    ::raise(signal);  // as the instruction that did it is repeated
    ::_exit(2);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace

TEST_CASE("a damaged place is repaired once, and remembered for a while") {
  Repairs repairs;
  CHECK_FALSE(repairs.waiting());
  repairs.met({place(1), place(2), place(1)});
  repairs.met({place(2)});
  REQUIRE(repairs.waiting());
  const auto taken = repairs.take();
  CHECK(taken == std::vector{place(1), place(2)});
  CHECK_FALSE(repairs.waiting());
  repairs.repaired(taken, 1000);
  CHECK(repairs.count() == 2);
  CHECK(repairs.repaired_lately(place(1), 1000 + Repairs::kAgainUs - 1));
  CHECK_FALSE(repairs.repaired_lately(place(1), 1000 + Repairs::kAgainUs));
  CHECK_FALSE(repairs.repaired_lately(place(3), 1000));
  tree::Subtree other = place(1);
  other.hash[5] = 1;  // it has changed since
  CHECK_FALSE(repairs.repaired_lately(other, 1000));
}

TEST_CASE("more than a hundred repairs within a day are an alarm") {
  Repairs repairs;
  const std::int64_t hour = Repairs::kDayUs / 24;
  for (std::int64_t i = 0; i < 20; ++i)
    repairs.repaired(std::vector<tree::Subtree>(5, place(1)), i * hour);
  CHECK(repairs.alarm(20 * hour).empty());
  repairs.repaired({place(2)}, 20 * hour);
  CHECK(repairs.alarm(20 * hour).find("101 ") == 0);
  CHECK(repairs.alarm(25 * hour).empty());
  CHECK(repairs.count() == 101);
}

TEST_CASE("a store is set aside; twice in a row is refused, and nothing is lost then") {
  const test::TempDir temp;
  StoreMarks marks(storage::posix_file_system(), temp.path());
  const auto make_store = [&](const std::string& content) {
    std::filesystem::create_directory(temp / "state");
    test::write_text(temp / "state/data.mdb", content);
  };
  CHECK(marks.suspicion().value().empty());
  make_store("first");
  REQUIRE(marks.suspect("broken"));
  CHECK(marks.suspicion().value() == "broken");
  REQUIRE(marks.set_aside("broken", 100'000));
  CHECK(marks.suspicion().value().empty());
  CHECK_FALSE(std::filesystem::exists(temp / "state"));
  CHECK(test::read_text(temp / "state.damaged/data.mdb") == "first");

  make_store("second");
  REQUIRE(marks.suspect("broken again"));
  const Status again = marks.set_aside("broken again", 100'000 + StoreMarks::kInARow - 1);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == Errc::corrupt);
  CHECK(again.error().message.find("stays down") != std::string::npos);
  CHECK(again.error().message.find("state-set-aside") != std::string::npos);
  CHECK(test::read_text(temp / "state/data.mdb") == "second");
  CHECK(marks.suspicion().value() == "broken again");

  REQUIRE(marks.set_aside("broken again", 100'000 + StoreMarks::kInARow));
  CHECK(test::read_text(temp / "state.damaged/data.mdb") == "second");
  make_store("third");
  std::filesystem::remove(temp / "state-set-aside");  // as an operator does
  CHECK(marks.set_aside("broken again", 100'000 + StoreMarks::kInARow + 5));
}

TEST_CASE("a crash while a store is set aside is made up for") {
  const test::TempDir temp;
  StoreMarks marks(storage::posix_file_system(), temp.path());
  REQUIRE(marks.suspect("broken"));  // and `state` has been moved already
  CHECK(marks.set_aside("broken", 50'000));
  CHECK(marks.suspicion().value().empty());
}

TEST_CASE("T7.7 a signal in LMDB is a suspicion, elsewhere it is none; the process dies of it") {
  for (const int signal : {SIGBUS, SIGSEGV, SIGABRT})
    for (const bool in_lmdb : {true, false}) {
      CAPTURE(signal);
      CAPTURE(in_lmdb);
      const test::TempDir temp;
      StoreMarks marks(storage::posix_file_system(), temp.path());
      const int status = end_by(marks, signal, in_lmdb);
      REQUIRE(WIFSIGNALED(status));
      CHECK(WTERMSIG(status) == signal);
      CHECK(marks.suspicion().value().empty() != in_lmdb);
    }
}
