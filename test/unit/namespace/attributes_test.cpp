// T10.6: permissions, ownership and mode bits as Linux has them.
#include <doctest/doctest.h>

#include "fixture.hpp"
#include "namespace/permissions.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using schema::kRootIno;
namespace mask = schema::set_mask;

TEST_CASE("exactly one class of mode bits decides") {
  struct Row {
    std::uint16_t mode;
    std::uint32_t uid;
    std::uint32_t gid;
    ns::Access wanted;
    bool allowed;
  };
  const Row rows[] = {{0400, 1000, 1000, ns::Access::read, true},
                      {0040, 1000, 1000, ns::Access::read, false},
                      {0004, 1000, 1000, ns::Access::read, false},
                      {0040, 1002, 1000, ns::Access::read, true},
                      {0404, 1002, 1000, ns::Access::read, false},
                      {0004, 1001, 1001, ns::Access::read, true},
                      {0440, 1001, 1001, ns::Access::read, false},
                      {0200, 1000, 1000, ns::Access::write, true},
                      {0100, 1000, 1000, ns::Access::execute, true},
                      {0300, 1000, 1, ns::Access::write_execute, true},
                      {0200, 1000, 1, ns::Access::write_execute, false},
                      {0000, 0, 0, ns::Access::write, true}};
  for (const Row& row : rows) {
    schema::Attributes a;
    a.mode = row.mode;
    a.uid = 1000;
    a.gid = 1000;
    CAPTURE(row.mode);
    CAPTURE(row.uid);
    CHECK(ns::may({row.uid, row.gid, {}}, a, row.wanted) == row.allowed);
  }
}

TEST_CASE("chmod and chown: who may, and which bits survive") {
  World w;
  w.set(kRootIno, mask::kMode, 0777);
  const auto f = w.make(kRootIno, "f", FileType::regular, 0644, kAlice);
  CHECK(w.set(f, mask::kMode, 0600, 0, 0, kBob) == Code::not_permitted);
  CHECK(w.set(f, mask::kMode, 06755, 0, 0, kAlice) == Code::ok);
  CHECK(w.stat(f)->mode == 06755);
  CHECK(w.set(f, mask::kUid, 0, 1001, 0, kAlice) == Code::not_permitted);
  CHECK(w.set(f, mask::kUid, 0, 1000, 0, kAlice) == Code::ok);
  CHECK(w.stat(f)->mode == 0755);
  CHECK(w.set(f, mask::kGid, 0, 0, 2000, kAlice) == Code::ok);
  CHECK(w.set(f, mask::kGid, 0, 0, 3000, kAlice) == Code::not_permitted);
  CHECK(w.set(f, mask::kGid, 0, 0, 3000) == Code::ok);
  // Alice is no member of 3000: setgid does not stay.
  CHECK(w.set(f, mask::kMode, 02755, 0, 0, kAlice) == Code::ok);
  CHECK(w.stat(f)->mode == 0755);
  CHECK(w.set(f, mask::kMode, 06755) == Code::ok);
  CHECK(w.set(f, mask::kUid | mask::kGid, 0, 5, 5) == Code::ok);
  CHECK(w.stat(f)->mode == 0755);  // also when root does it
  const auto l = w.make(kRootIno, "l", FileType::symlink, 0, kAlice);
  CHECK(w.set(l, mask::kMode, 0777, 0, 0, kAlice) == Code::not_supported);
  CHECK(w.set(f, 1U << 20, 0) == Code::invalid);
  CHECK(w.set(f, mask::kUid, 0, ~std::uint32_t{0}) == Code::invalid);
}

TEST_CASE("a setgid directory hands its group down, and the bit to directories") {
  World w;
  const auto d = w.directory(kRootIno, "d");
  w.set(d, mask::kMode | mask::kGid, 02777, 0, 2000);
  CHECK(w.stat(d)->mode == 02777);
  const auto f = w.make(d, "f", FileType::regular, 02775, kBob);
  CHECK(w.stat(f)->gid == 2000);
  CHECK(w.stat(f)->mode == 0775);  // Bob is no member
  const auto g = w.make(d, "g", FileType::regular, 02775, kAlice);
  CHECK(w.stat(g)->mode == 02775);
  const auto s = w.make(d, "s", FileType::directory, 04755, kBob);
  CHECK(w.stat(s)->gid == 2000);
  CHECK(w.stat(s)->mode == 02755);
}

TEST_CASE("sticky: only the owner of the entry or of the directory removes") {
  World w;
  const auto t = w.directory(kRootIno, "tmp");
  w.set(t, mask::kMode, 01777);
  w.make(t, "f", FileType::regular, 0666, kAlice);
  const schema::Remove remove{World::at(t), World::named("f"), false};
  CHECK(w.code(kBob, remove) == Code::not_permitted);
  CHECK(w.code(kBob, schema::Rename{World::at(t), World::named("f"), World::at(t),
                                    World::named("g"), 0}) == Code::not_permitted);
  w.make(t, "b", FileType::regular, 0666, kBob);
  CHECK(w.code(kBob, schema::Rename{World::at(t), World::named("b"), World::at(t),
                                    World::named("f"), 0}) == Code::not_permitted);
  CHECK(w.code(kAlice, remove) == Code::ok);
}

TEST_CASE("times: both to now by a writer, anything else by the owner") {
  World w;
  w.set(kRootIno, mask::kMode, 0777);
  const auto f = w.make(kRootIno, "f", FileType::regular, 0664, kAlice);
  CHECK(w.set(f, mask::kAtimeNow | mask::kMtimeNow, 0, 0, 0, kCarol) == Code::ok);
  CHECK(w.stat(f)->mtime_ns == w.context.now_ns());
  CHECK(w.set(f, mask::kMtimeNow, 0, 0, 0, kCarol) == Code::not_permitted);
  CHECK(w.set(f, mask::kMtime, 0, 0, 0, kCarol) == Code::not_permitted);
  CHECK(w.set(f, mask::kAtimeNow | mask::kMtimeNow, 0, 0, 0, kBob) == Code::access_denied);
  CHECK(w.set(f, mask::kMtime, 0, 0, 0, kAlice) == Code::ok);
  CHECK(w.stat(f)->mtime_ns == 0);
  CHECK(w.stat(f)->ctime_ns == w.context.now_ns());
  CHECK(w.set(f, mask::kMtime | mask::kMtimeNow, 0) == Code::invalid);
  CHECK(w.set(f, mask::kCtime, 0, 0, 0, kBob) == Code::not_permitted);
}

TEST_CASE("compare-and-set, and what a failed operation leaves") {
  World w;
  const auto f = w.file(kRootIno, "f");
  schema::SetAttributes op;
  op.target = World::at(f);
  op.mask = mask::kMode;
  op.mode = 0600;
  op.expected_version = 7;
  const auto before = *w.stat(f);
  CHECK(w.run(op).code == Code::version_conflict);
  CHECK(*w.stat(f) == before);
  op.expected_version = before.version;
  CHECK(w.run(op).code == Code::ok);
  CHECK(w.stat(f)->version == before.version + 1);
}

TEST_CASE("the effective caller comes from the rules") {
  config::ClientRules gateway;
  gateway.gateway = true;
  gateway.uid_first = 1000;
  gateway.uid_last = 1010;
  CHECK(ns::effective_caller(gateway, {1005, 7, {8, 0}})->uid == 1005);
  CHECK(ns::effective_caller(gateway, {1005, 0, {8, 0}})->gid == ns::kNobody);
  CHECK(ns::effective_caller(gateway, {1005, 7, {8, 0}})->groups ==
        std::vector<std::uint32_t>{8, ns::kNobody});
  CHECK(ns::effective_caller(gateway, {0, 0, {}})->uid == ns::kNobody);
  CHECK_FALSE(ns::effective_caller(gateway, {5, 5, {}}));
  gateway.root_squash = false;
  CHECK_FALSE(ns::effective_caller(gateway, {0, 0, {}}));
  config::ClientRules single;
  single.uid_first = 1000;
  single.gid = 100;
  single.groups = {4};
  const auto who = ns::effective_caller(single, {0, 0, {0}});
  CHECK(who->uid == 1000);
  CHECK(who->gid == 100);
  CHECK(who->groups == std::vector<std::uint32_t>{4});
}

TEST_CASE("extended attributes: namespaces, flags, limits") {
  World w;
  w.set(kRootIno, mask::kMode, 0777);
  const auto f = w.make(kRootIno, "f", FileType::regular, 0644, kAlice);
  const auto l = w.make(kRootIno, "l", FileType::symlink, 0, kAlice);
  const auto set = [&](const schema::Caller& c, std::uint64_t ino, std::string_view name,
                       std::uint32_t flags = 0) {
    return w.code(c, schema::SetXattr{World::at(ino), to_bytes(name), to_bytes("v"), flags});
  };
  const auto remove = [&](const schema::Caller& c, std::string_view name) {
    return w.code(c, schema::RemoveXattr{World::at(f), to_bytes(name)});
  };
  CHECK(set(kAlice, f, "user.a", 2) == Code::no_attribute);
  CHECK(set(kAlice, f, "user.a", 1) == Code::ok);
  CHECK(set(kAlice, f, "user.a", 1) == Code::exists);
  CHECK(set(kBob, f, "user.a") == Code::access_denied);
  CHECK(set(kAlice, l, "user.a") == Code::not_permitted);
  CHECK(set(kAlice, f, "trusted.a") == Code::not_permitted);
  CHECK(set(w.root, f, "trusted.a") == Code::ok);
  CHECK(set(w.root, f, "system.posix_acl_access") == Code::not_supported);
  CHECK(set(kAlice, f, "user.") == Code::invalid);
  CHECK(set(kAlice, f, "user.a", 4) == Code::invalid);
  CHECK(w.stat(f)->xattr_count == 2);
  CHECK(remove(kBob, "user.a") == Code::access_denied);
  CHECK(remove(kAlice, "user.a") == Code::ok);
  CHECK(remove(kAlice, "user.a") == Code::no_attribute);
  for (std::size_t i = 1; i < limits::kMaxXattrsPerInode; ++i)
    CHECK(set(kAlice, f, "user." + std::to_string(i)) == Code::ok);
  CHECK(set(kAlice, f, "user.more") == Code::no_space);
  CHECK(set(kAlice, f, "user.1") == Code::ok);
}
