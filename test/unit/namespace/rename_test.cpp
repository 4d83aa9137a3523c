// T10.3: rename, by a table and by a storm with the checker as oracle.
#include <doctest/doctest.h>

#include "fixture.hpp"
#include "namespace/check.hpp"
#include "random_operations.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using schema::kRootIno;

namespace {

schema::Rename move(std::uint64_t from, std::string_view name, std::uint64_t to,
                    std::string_view to_name, std::uint32_t flags = 0) {
  return {World::at(from), World::named(name), World::at(to), World::named(to_name), flags};
}

std::string problems(const World& w) {
  std::string all;
  for (const std::string& p : ns::check(w.overlay, {false}).problems) all += p + "\n";
  return all;
}

}  // namespace

TEST_CASE("rename moves a directory with its link count and its parent") {
  World w;
  const auto a = w.directory(kRootIno, "a");
  const auto b = w.directory(kRootIno, "b");
  const auto d = w.directory(a, "d");
  REQUIRE(w.run(move(a, "d", b, "e")).code == Code::ok);
  CHECK(w.stat(a)->nlink == 2);
  CHECK(w.stat(b)->nlink == 3);
  CHECK(w.stat(d)->parent == b);
  CHECK(w.run(move(kRootIno, "b", d, "x")).code == Code::invalid);
  CHECK(w.run(move(kRootIno, "b", b, "x")).code == Code::invalid);
  CHECK(w.run(move(b, "e", kRootIno, "b")).code == Code::not_empty);
  CHECK(w.run(move(b, "e", kRootIno, "b", 2)).code == Code::invalid);
  CHECK(problems(w) == "");
}

TEST_CASE("rename over something: types, emptiness, flags") {
  World w;
  const auto f = w.file(kRootIno, "f");
  const auto g = w.file(kRootIno, "g");
  const auto d = w.directory(kRootIno, "d");
  w.directory(kRootIno, "full");
  const auto full = w.directory(kRootIno, "full2");
  w.file(full, "x");
  CHECK(w.run(move(kRootIno, "f", kRootIno, "d")).code == Code::is_directory);
  CHECK(w.run(move(kRootIno, "d", kRootIno, "f")).code == Code::not_directory);
  CHECK(w.run(move(kRootIno, "d", kRootIno, "full2")).code == Code::not_empty);
  CHECK(w.run(move(kRootIno, "f", kRootIno, "g", 1)).code == Code::exists);
  CHECK(w.run(move(kRootIno, "f", kRootIno, "none", 2)).code == Code::no_entry);
  CHECK(w.run(move(kRootIno, "none", kRootIno, "g")).code == Code::no_entry);
  CHECK(w.run(move(kRootIno, "f", kRootIno, "g", 3)).code == Code::invalid);
  CHECK(w.run(move(kRootIno, "f", kRootIno, "g", 4)).code == Code::invalid);
  CHECK(w.run(move(kRootIno, "f", kRootIno, "g")).code == Code::ok);
  CHECK(w.stat(g)->nlink == 0);
  CHECK(w.run(move(kRootIno, "full2", kRootIno, "full")).code == Code::ok);
  CHECK(w.run(move(kRootIno, "g", d, "h", 0)).code == Code::ok);
  CHECK(w.stat(f)->nlink == 1);
  CHECK(problems(w) == "");
}

TEST_CASE("exchange swaps a file and a directory of two parents") {
  World w;
  const auto a = w.directory(kRootIno, "a");
  const auto b = w.directory(kRootIno, "b");
  const auto d = w.directory(a, "d");
  w.file(b, "f");
  REQUIRE(w.run(move(a, "d", b, "f", 2)).code == Code::ok);
  CHECK(w.stat(a)->nlink == 2);
  CHECK(w.stat(b)->nlink == 3);
  CHECK(w.stat(d)->parent == b);
  CHECK(w.stat(a)->size == 1);
  CHECK(problems(w) == "");
}

TEST_CASE("two names of one inode: nothing happens") {
  World w;
  const auto f = w.file(kRootIno, "f");
  REQUIRE(w.run(schema::Link{World::at(f), World::at(kRootIno), World::named("g")}).code ==
          Code::ok);
  const auto before = *w.stat(f);
  const auto result = w.run(move(kRootIno, "f", kRootIno, "g"));
  CHECK(result.code == Code::ok);
  CHECK(*w.stat(f) == before);
  CHECK(w.stat(kRootIno)->size == 2);
  CHECK(w.run(move(kRootIno, "f", kRootIno, "g", 1)).code == Code::exists);
}

TEST_CASE("a directory that changes its parent has to be writable itself") {
  World w;
  const schema::Caller alice{1000, 1000, {}};
  w.set(kRootIno, schema::set_mask::kMode, 0777);
  const auto d = w.make(kRootIno, "d", FileType::directory, 0555, alice);
  w.make(kRootIno, "to", FileType::directory, 0777, alice);
  CHECK(w.code(alice, move(kRootIno, "d", d + 1, "d")) == Code::access_denied);
  CHECK(w.code(alice, move(kRootIno, "d", kRootIno, "e")) == Code::ok);
}

TEST_CASE("the depth of a tree is limited") {
  World w;
  std::uint64_t at = kRootIno;
  for (std::uint32_t i = 0; i < limits::kMaxDepth; ++i) at = w.directory(at, "d");
  REQUIRE(at != 0);
  CHECK(w.run(World::new_node(at, "d", FileType::directory)).code == Code::invalid);
  CHECK(w.file(at, "f") != 0);
  w.directory(kRootIno, "other");
  CHECK(w.run(move(kRootIno, "other", at, "d")).code == Code::invalid);
}

TEST_CASE("T10.3 storms of renames leave a tree") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    World w;
    std::mt19937_64 random(seed);
    std::vector<std::uint64_t> directories{kRootIno};
    while (directories.size() < 30) {
      const auto made =
          w.directory(directories[random() % directories.size()], std::to_string(random() % 8));
      if (made != 0) directories.push_back(made);
    }
    std::size_t moved = 0;
    for (int i = 0; i < 4000; ++i) {
      const auto pick = [&] { return directories[random() % directories.size()]; };
      const std::string from = std::to_string(random() % 8);
      const std::string to = std::to_string(random() % 8);
      const auto flags = static_cast<std::uint32_t>(random() % 3);
      const bool done = w.run(move(pick(), from, pick(), to, flags)).code == Code::ok;
      moved += done ? 1 : 0;
      if (i % 500 == 0) w.settle();
    }
    CHECK(moved > 100);
    CHECK(problems(w) == "");
  }
}
