#include <doctest/doctest.h>

#include <set>

#include "fixture.hpp"
#include "namespace/query.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using schema::kRootIno;

namespace {

template <class T>
T ask(const World& w, schema::QueryBody body, const schema::Caller& caller = {}) {
  const auto result = ns::evaluate(w.overlay, {caller, std::move(body)}, &w.rules);
  CHECK_FALSE(result.unknown);
  REQUIRE(result.code == Code::ok);
  return std::get<T>(result.answer);
}

Code refused(const World& w, schema::QueryBody body, const schema::Caller& caller = kAlice) {
  const auto result = ns::evaluate(w.overlay, {caller, std::move(body)}, &w.rules);
  CHECK(std::holds_alternative<std::monostate>(result.answer));
  return result.code;
}

// A reader that knows nothing.
class Blind final : public tree::Reader {
 public:
  tree::Found get(const Key&, Bytes&) const override { return tree::Found::unknown; }
  bool scan(const Key&, const std::optional<Key>&, const Visit&) const override { return false; }
  std::optional<std::uint64_t> count(const Key&) const override { return std::nullopt; }
};

}  // namespace

TEST_CASE("attributes by path, with search permission on the way") {
  World w;
  const auto d = w.directory(kRootIno, "d", 0700);
  const auto l = w.make(d, "l", FileType::symlink, 0, w.root);
  const schema::GetInode query{{kRootIno, {World::named("d"), World::named("l")}}, true};
  const auto found = ask<ns::InodeAnswer>(w, query);
  CHECK(found.ino == l);
  CHECK(found.symlink == to_bytes("target"));
  CHECK(refused(w, query) == Code::access_denied);
  CHECK(refused(w, schema::GetInode{{kRootIno, {World::named("x")}}, false}) == Code::no_entry);
  CHECK(refused(w, schema::GetInode{{77, {}}, false}) == Code::stale_handle);
  w.rules.strict = true;
  CHECK(refused(w, schema::GetInode{{d, {}}, false}) == Code::not_permitted);
}

TEST_CASE("T10.2 a strict principal reads nothing by a guessed inode number") {
  World w;
  const auto secret = w.directory(kRootIno, "secret", 0700);
  const auto open = w.directory(secret, "open", 0777);
  const auto file = w.file(open, "file", 0666);
  const std::vector<schema::QueryBody> by_number = {
      schema::GetInode{{file, {}}, false},
      schema::GetInode{{open, {World::named("file")}}, false},
      schema::ListDirectory{open, 0, 10, false},
      schema::GetXattr{file, to_bytes("user.k")},
      schema::ListXattrs{file},
      schema::GetData{file, 0, 1}};
  for (const schema::QueryBody& query : by_number) {
    CAPTURE(query.index());
    w.rules.strict = false;
    const auto open_to_all = ns::evaluate(w.overlay, {kAlice, query}, &w.rules);
    CHECK(open_to_all.code != Code::not_permitted);
    CHECK(open_to_all.code != Code::access_denied);
    w.rules.strict = true;
    CHECK(refused(w, query) == Code::not_permitted);
  }
  const schema::GetInode by_path{
      {kRootIno, {World::named("secret"), World::named("open"), World::named("file")}}, false};
  CHECK(refused(w, by_path) == Code::access_denied);
}

TEST_CASE("pages of a listing compose to the whole directory") {
  World w;
  const auto d = w.directory(kRootIno, "d");
  std::set<Bytes> names;
  for (int i = 0; i < 100; ++i) {
    const std::string name = "file" + std::to_string(i);
    w.file(d, name);
    names.insert(to_bytes(name));
    if (i == 50) w.settle();
  }
  for (const std::uint32_t size : {1U, 7U, 100U, 1000U}) {
    std::set<Bytes> seen;
    std::uint64_t from = 0;
    bool eof = false;
    while (!eof) {
      const auto page = ask<ns::DirectoryPage>(w, schema::ListDirectory{d, from, size, true});
      CHECK(page.entries.size() <= size);
      CHECK(page.directory.size == 100);
      for (const ns::DirectoryEntry& e : page.entries) {
        CHECK(seen.insert(e.name).second);
        CHECK(e.cookie >= from);
        CHECK(e.attributes == w.stat(e.ino));
      }
      from = page.next_cookie;
      eof = page.eof;
    }
    CHECK(seen == names);
  }
  CHECK(refused(w, schema::ListDirectory{d, 0, 0, false}) == Code::invalid);
  CHECK(refused(w, schema::ListDirectory{d, 0, 1001, false}) == Code::invalid);
}

TEST_CASE("listing needs read, attributes need search") {
  World w;
  const auto d = w.directory(kRootIno, "d", 0744);
  w.file(d, "f");
  const auto page = ask<ns::DirectoryPage>(w, schema::ListDirectory{d, 0, 10, true}, kAlice);
  REQUIRE(page.entries.size() == 1);
  CHECK_FALSE(page.entries[0].attributes);
  w.set(d, schema::set_mask::kMode, 0711);
  CHECK(refused(w, schema::ListDirectory{d, 0, 10, true}) == Code::access_denied);
  const auto f = page.entries[0].ino;
  CHECK(refused(w, schema::ListDirectory{f, 0, 10, true}) == Code::not_directory);
}

TEST_CASE("extended attributes: what a caller sees") {
  World w;
  const auto f = w.file(kRootIno, "f", 0600);
  for (const std::string_view name : {"user.a", "trusted.b", "security.c"})
    w.run(schema::SetXattr{World::at(f), to_bytes(name), to_bytes("v"), 0});
  CHECK(ask<ns::XattrNames>(w, schema::ListXattrs{f}).names.size() == 3);
  CHECK(ask<ns::XattrNames>(w, schema::ListXattrs{f}, kAlice).names.size() == 2);
  CHECK(ask<ns::XattrValue>(w, schema::GetXattr{f, to_bytes("user.a")}).value == to_bytes("v"));
  CHECK(ask<ns::XattrValue>(w, schema::GetXattr{f, to_bytes("security.c")}, kAlice).value ==
        to_bytes("v"));
  CHECK(refused(w, schema::GetXattr{f, to_bytes("user.a")}) == Code::access_denied);
  CHECK(refused(w, schema::GetXattr{f, to_bytes("trusted.b")}) == Code::no_attribute);
  CHECK(refused(w, schema::GetXattr{f, to_bytes("user.z")}, w.root) == Code::no_attribute);
}

TEST_CASE("data, statistics, sessions") {
  World w;
  const auto f = w.file(kRootIno, "f", 0600);
  CHECK(refused(w, schema::GetData{f, 0, 10}) == Code::access_denied);
  CHECK(refused(w, schema::GetData{kRootIno, 0, 10}) == Code::is_directory);
  CHECK(ask<ns::FileData>(w, schema::GetData{f, 10, 0}).extents.empty());
  CHECK(ask<schema::Counters>(w, schema::GetStatistics{}).inodes == 2);
  const auto none = ask<ns::SessionAnswer>(w, schema::GetSession{});
  CHECK_FALSE(none.session);
  CHECK_FALSE(none.tombstone);
  Id16 id{};
  w.overlay.put(schema::keys::session(id), encode(schema::Session{}));
  w.overlay.put(schema::keys::session_result(id, 4), encode(schema::StoredResult{}));
  CHECK(ask<ns::SessionAnswer>(w, schema::GetSession{id, 4}).result);
  CHECK_FALSE(ask<ns::SessionAnswer>(w, schema::GetSession{id, 5}).result);
  w.overlay.put(schema::keys::principal(PublicKey{9}), encode(schema::Principal{}));
  const auto list = ask<ns::PrincipalList>(w, schema::ListPrincipals{});
  REQUIRE(list.principals.size() == 1);
  CHECK(list.principals[0].sign_key == PublicKey{9});
}

TEST_CASE("membership: of an epoch, of the next, and what is under way") {
  World w;
  const auto ask_membership = [&](std::uint64_t epoch) {
    return ask<ns::MembershipAnswer>(w, schema::GetMembership{epoch});
  };
  CHECK_FALSE(ask_membership(5).config);
  CHECK_FALSE(ask_membership(5).pending);
  schema::ConfigRecord record;
  record.config.epoch = 5;
  w.overlay.put(schema::keys::config(5), encode(record));
  schema::PendingChange change;
  change.ready = 3;
  w.overlay.put(schema::keys::pending_change(), encode(change));
  CHECK(ask_membership(5).config == record);
  CHECK_FALSE(ask_membership(5).next);
  CHECK(ask_membership(5).pending == change);
  CHECK(ask_membership(4).next == record);
}

TEST_CASE("a reader that does not know makes nothing of a query") {
  const Blind blind;
  const schema::QueryBody bodies[] = {schema::GetInode{},
                                      schema::ListDirectory{1, 0, 1, false},
                                      schema::GetXattr{1, to_bytes("user.a")},
                                      schema::ListXattrs{1},
                                      schema::GetData{1, 0, 1},
                                      schema::GetStatistics{},
                                      schema::ListPrincipals{},
                                      schema::GetSession{},
                                      schema::GetMembership{}};
  for (const schema::QueryBody& body : bodies)
    CHECK(ns::evaluate(blind, {{}, body}, nullptr).unknown);
}
