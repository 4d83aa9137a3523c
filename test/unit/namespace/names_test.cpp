#include <doctest/doctest.h>

#include "fixture.hpp"
#include "model/model.hpp"

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

TEST_CASE("T10.1 an inode number is taken by success only, in the reference model too") {
  World w;
  Model model(w.genesis);
  const auto both = [&](const schema::Caller& caller, const schema::MakeNode& op) {
    const schema::OpResult production = w.run(caller, op);
    CHECK(production == model.apply({w.context.exec_time_us, w.context.session_id, w.rules,
                                     w.context.history_hash, nullptr},
                                    {caller, op}));
    w.settle();
    CHECK(w.base.leaves == model.leaves());
    return production;
  };
  const auto made = [&](const schema::MakeNode& op) {
    const auto result = both(w.root, op);
    REQUIRE(result.code == Code::ok);
    return result.inode->ino;
  };
  const auto directory = made(World::new_node(kRootIno, "d", FileType::directory));
  const auto file = made(World::new_node(kRootIno, "f"));

  schema::MakeNode symlink = World::new_node(kRootIno, "l", FileType::symlink);
  schema::MakeNode device = World::new_node(kRootIno, "c", FileType::character_device);
  schema::MakeNode deep = World::new_node(kRootIno, "x");
  deep.parent.path = {World::named("d"), World::named("nothing")};
  const std::vector<std::pair<schema::Caller, schema::MakeNode>> failing = {
      {w.root, World::new_node(kRootIno, "f")},
      {w.root, World::new_node(kRootIno, "d", FileType::directory)},
      {w.root, World::new_node(kRootIno, "f", FileType::symlink)},
      {w.root, World::new_node(file, "x")},
      {w.root, World::new_node(4711, "x")},
      {w.root, deep},
      {w.root, World::new_node(kRootIno, "")},
      {w.root, World::new_node(kRootIno, "..")},
      {w.root, World::new_node(kRootIno, "a/b")},
      {w.root, World::new_node(kRootIno, std::string(limits::kMaxName + 1, 'x'))},
      {w.root, symlink},  // without a target
      {kAlice, World::new_node(directory, "x")},
      {kAlice, World::new_node(directory, "x", FileType::directory)},
      {kAlice, device}};
  auto next = file + 1;
  for (const auto& [caller, op] : failing) {
    CAPTURE(next);
    CHECK(both(caller, op).code != Code::ok);
    CHECK(made(World::new_node(directory, "n" + std::to_string(next))) == next);
    ++next;
  }
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

TEST_CASE("T10.2 a strict principal gets at nothing by a guessed inode number") {
  World w;
  const auto secret = w.directory(kRootIno, "secret", 0700);
  const auto open = w.directory(secret, "open", 0777);
  const auto file = w.file(open, "file", 0666);
  const auto mine = w.make(kRootIno, "mine", FileType::regular, 0666, w.root);
  const auto all_by_number = [&](std::uint64_t directory, std::uint64_t ino) {
    schema::CommitData commit;
    commit.ino = ino;
    schema::SetAttributes attributes;
    attributes.target = World::at(ino);
    schema::SetXattr xattr;
    xattr.target = World::at(ino);
    xattr.name = to_bytes("user.k");
    return std::vector<schema::OperationBody>{
        attributes,
        xattr,
        schema::RemoveXattr{World::at(ino), to_bytes("user.k")},
        World::new_node(directory, "new"),
        schema::Link{World::at(ino), World::at(directory), World::named("link")},
        schema::Link{World::at(mine), World::at(directory), World::named("link")},
        schema::Rename{World::at(directory), World::named("file"), World::at(directory),
                       World::named("moved"), 0},
        schema::Remove{World::at(directory), World::named("link"), false},
        commit,
        schema::Hold{ino, false}};
  };
  w.rules.strict = true;
  const LeafMap before = [&] {
    w.settle();
    return w.base.leaves;
  }();
  for (const schema::OperationBody& op : all_by_number(open, file)) {
    CAPTURE(op.index());
    CHECK(w.code(kAlice, op) == Code::not_permitted);
  }
  // By names the search permission of every ancestor counts.
  schema::SetAttributes by_path;
  by_path.target = {kRootIno, {World::named("secret"), World::named("open"), World::named("file")}};
  CHECK(w.code(kAlice, by_path) == Code::access_denied);
  schema::MakeNode make = World::new_node(kRootIno, "new");
  make.parent.path = {World::named("secret"), World::named("open")};
  CHECK(w.code(kAlice, make) == Code::access_denied);
  w.settle();
  CHECK(w.base.leaves == before);
  // For others numbers are handles, as with NFS: what they are refused, mode bits refuse.
  w.rules.strict = false;
  for (const schema::OperationBody& op : all_by_number(open, file)) {
    CAPTURE(op.index());
    CHECK(w.code(kAlice, op) != Code::not_permitted);
  }
}
