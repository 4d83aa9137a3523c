#include <doctest/doctest.h>

#include "fixture.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using schema::kRootIno;

TEST_CASE("a directory counts its entries and subdirectories") {
  World w;
  const auto d = w.directory(kRootIno, "d");
  w.file(d, "f");
  w.directory(d, "s");
  CHECK(w.stat(d)->size == 2);
  CHECK(w.stat(d)->nlink == 3);
  CHECK(w.stat(kRootIno)->nlink == 3);
  CHECK(w.counters().inodes == 4);
  CHECK(w.code(w.root, schema::Remove{World::at(d), World::named("s"), true}) == Code::ok);
  CHECK(w.stat(d)->size == 1);
  CHECK(w.stat(d)->nlink == 2);
  CHECK(w.counters().inodes == 3);
}

TEST_CASE("names that no file may have") {
  World w;
  for (const std::string_view name : {"", ".", "..", "a/b"})
    CHECK(w.code(w.root, World::new_node(kRootIno, name)) == Code::invalid);
  CHECK(w.code(w.root, World::new_node(kRootIno, std::string_view("a\0", 2))) == Code::invalid);
  CHECK(w.code(w.root, World::new_node(kRootIno, "...")) == Code::ok);
  CHECK(w.code(w.root, World::new_node(99, "x")) == Code::stale_handle);
}

TEST_CASE("create: existing names, types, devices") {
  World w;
  const auto f = w.file(kRootIno, "f");
  w.directory(kRootIno, "d");
  schema::MakeNode again = World::new_node(kRootIno, "f");
  CHECK(w.run(again).code == Code::exists);
  again.exclusive = false;
  const auto found = w.run(again);
  CHECK(found.code == Code::ok);
  CHECK(found.inode->ino == f);
  CHECK_FALSE(found.inode->created);
  again.name = World::named("d");
  CHECK(w.run(again).code == Code::is_directory);
  CHECK(w.make(kRootIno, "null", FileType::character_device, 0666, w.root) != 0);
  w.set(kRootIno, schema::set_mask::kMode, 0777);
  schema::MakeNode device = World::new_node(kRootIno, "x", FileType::block_device);
  CHECK(w.code(kAlice, device) == Code::not_permitted);
  schema::MakeNode link = World::new_node(kRootIno, "l", FileType::symlink);
  CHECK(w.run(link).code == Code::no_entry);
}

TEST_CASE("hard links: of files, never of directories; the last name makes an orphan") {
  World w;
  const auto f = w.file(kRootIno, "f");
  const auto d = w.directory(kRootIno, "d");
  CHECK(w.code(w.root, schema::Link{World::at(d), World::at(kRootIno), World::named("d2")}) ==
        Code::not_permitted);
  CHECK(w.code(w.root, schema::Link{World::at(f), World::at(d), World::named("g")}) == Code::ok);
  CHECK(w.stat(f)->nlink == 2);
  CHECK(w.code(w.root, schema::Remove{World::at(kRootIno), World::named("f"), false}) == Code::ok);
  CHECK(w.stat(f)->nlink == 1);
  const auto last = w.run(schema::Remove{World::at(d), World::named("g"), false});
  CHECK(last.inode->attributes.nlink == 0);
  CHECK(w.stat(f)->nlink == 0);
  CHECK(w.code(w.root, schema::Link{World::at(f), World::at(d), World::named("h")}) ==
        Code::no_entry);
  w.advance_lease_time(limits::kOrphanGraceUs - 1);
  ns::housekeeping(w.overlay, w.context);
  CHECK(w.stat(f));
  w.advance_lease_time(1);
  ns::housekeeping(w.overlay, w.context);
  CHECK_FALSE(w.stat(f));
  CHECK(w.counters().inodes == 2);
}

TEST_CASE("paths: search permission at every directory that is passed") {
  World w;
  const auto a = w.directory(kRootIno, "a", 0700);
  const auto b = w.directory(a, "b", 0777);
  const auto f = w.file(b, "f", 0666);
  schema::SetAttributes op;
  op.target = {kRootIno, {World::named("a"), World::named("b"), World::named("f")}};
  CHECK(w.run(op).inode->ino == f);
  CHECK(w.code(kAlice, op) == Code::access_denied);
  op.target = {b, {World::named("f")}};
  CHECK(w.code(kAlice, op) == Code::ok);
  w.rules.strict = true;
  CHECK(w.code(kAlice, op) == Code::not_permitted);
  w.rules.strict = false;
  op.target = {f, {World::named("x")}};
  CHECK(w.code(kAlice, op) == Code::not_directory);
}
