// File data: inline leaf and extents, truncation in constant time, orphans and holds (T10.4).
#include <doctest/doctest.h>

#include "fixture.hpp"
#include "namespace/check.hpp"
#include "namespace/query.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using schema::kRootIno;
namespace mask = schema::set_mask;

namespace {

constexpr std::uint64_t kBlock = limits::kBlockSize;

schema::CommitData blocks(std::uint64_t ino, std::uint64_t from, std::uint64_t to,
                          std::uint8_t mark) {
  schema::CommitData op;
  op.ino = ino;
  op.new_size = to * kBlock;
  for (std::uint64_t i = from; i < to; ++i) {
    schema::ExtentChange e;
    e.offset = i * kBlock;
    e.length = kBlock;
    e.digest[0] = mark;
    op.extents.push_back(e);
  }
  return op;
}

Code resize(World& w, std::uint64_t ino, std::uint64_t size) {
  schema::SetAttributes op;
  op.target = World::at(ino);
  op.mask = mask::kSize;
  op.size = size;
  return w.run(op).code;
}

ns::FileData data(const World& w, std::uint64_t ino) {
  const auto result =
      ns::evaluate(w.overlay, {{}, schema::GetData{ino, 0, ~std::uint64_t{0}}}, nullptr);
  REQUIRE(result.code == Code::ok);
  return std::get<ns::FileData>(result.answer);
}

std::size_t leaves(const World& w, const Key& prefix) { return *w.overlay.count(prefix); }

bool clean(const World& w) {
  const ns::CheckReport report = ns::check(w.overlay, {false});
  for (const std::string& p : report.problems) MESSAGE(p);
  return report.clean();
}

}  // namespace

TEST_CASE("inline data: written, cut, grown, replaced by blocks and back") {
  World w;
  const auto f = w.file(kRootIno, "f");
  schema::CommitData op;
  op.ino = f;
  op.inline_data.emplace();
  op.inline_data->bytes = to_bytes("hello world");
  op.new_size = 11;
  op.expected_version = 1;
  CHECK(w.run(op).code == Code::ok);
  CHECK(w.run(op).code == Code::version_conflict);
  CHECK(w.counters().bytes == 11);
  CHECK(resize(w, f, 5) == Code::ok);
  CHECK(resize(w, f, 100) == Code::ok);
  CHECK(data(w, f).inline_data == to_bytes("hello"));
  CHECK(w.run(blocks(f, 0, 2, 1)).code == Code::ok);
  CHECK_FALSE(data(w, f).inline_data);
  CHECK(data(w, f).extents.size() == 2);
  op.expected_version = 0;
  CHECK(w.run(op).code == Code::ok);
  CHECK(leaves(w, schema::keys::extents(f)) == 0);
  CHECK(resize(w, f, 0) == Code::ok);
  CHECK(leaves(w, schema::keys::inline_data(f)) == 0);
  CHECK(w.counters().bytes == 0);
  CHECK(clean(w));
}

TEST_CASE("data that does not make sense is refused") {
  World w;
  const auto f = w.file(kRootIno, "f");
  const auto d = w.directory(kRootIno, "d");
  schema::CommitData op = blocks(f, 0, 2, 1);
  op.new_size = 2 * kBlock - 1;
  CHECK(w.run(op).code == Code::invalid);
  op = blocks(f, 0, 2, 1);
  std::swap(op.extents[0], op.extents[1]);
  CHECK(w.run(op).code == Code::invalid);
  op = blocks(f, 0, 2, 1);
  op.extents[1].offset += 1;
  CHECK(w.run(op).code == Code::invalid);
  op = blocks(f, 0, 2, 1);
  op.inline_data.emplace();
  CHECK(w.run(op).code == Code::invalid);
  op = blocks(d, 0, 0, 1);
  CHECK(w.run(op).code == Code::is_directory);
  op = blocks(f, 0, 0, 1);
  op.new_size = limits::kMaxFileSize + 1;
  CHECK(w.run(op).code == Code::file_too_big);
  op = blocks(99, 0, 0, 1);
  CHECK(w.run(op).code == Code::stale_handle);
  CHECK(resize(w, d, 0) == Code::is_directory);
}

TEST_CASE("who may write: the owner, whatever the mode; setuid goes") {
  World w;
  const schema::Caller alice{1000, 1000, {}};
  const schema::Caller bob{1001, 1001, {}};
  w.set(kRootIno, mask::kMode, 0777);
  const auto f = w.make(kRootIno, "f", FileType::regular, 0444, alice);
  CHECK(w.code(bob, blocks(f, 0, 1, 1)) == Code::access_denied);
  CHECK(w.code(alice, blocks(f, 0, 1, 1)) == Code::ok);
  w.set(f, mask::kMode, 06755);
  CHECK(w.run(blocks(f, 0, 1, 2)).code == Code::ok);
  CHECK(w.stat(f)->mode == 06755);
  CHECK(w.code(alice, blocks(f, 0, 1, 3)) == Code::ok);
  CHECK(w.stat(f)->mode == 0755);
}

TEST_CASE("truncating inside a block shows less of it and keeps its digest") {
  World w;
  const auto f = w.file(kRootIno, "f");
  w.run(blocks(f, 0, 3, 1));
  CHECK(resize(w, f, kBlock + 10) == Code::ok);
  CHECK(resize(w, f, 3 * kBlock) == Code::ok);
  const auto found = data(w, f);
  REQUIRE(found.extents.size() == 2);
  CHECK(found.extents[1].extent.length == 10);
  CHECK(found.extents[1].extent.block_length == kBlock);
  CHECK(clean(w));
}

TEST_CASE("what a constant-time truncate cut off never comes back") {
  World w;
  const auto f = w.file(kRootIno, "f");
  w.run(blocks(f, 0, 200, 1));
  CHECK(resize(w, f, 10 * kBlock) == Code::ok);
  CHECK(leaves(w, schema::keys::extents(f)) == 200);
  CHECK(leaves(w, schema::keys::garbages()) == 1);
  CHECK(data(w, f).extents.size() == 10);
  CHECK(resize(w, f, 300 * kBlock) == Code::ok);
  CHECK(data(w, f).extents.size() == 10);
  schema::CommitData op = blocks(f, 100, 120, 2);
  op.new_size = 300 * kBlock;
  CHECK(w.run(op).code == Code::ok);
  CHECK(data(w, f).extents.size() == 30);
  CHECK(clean(w));

  // A second one above the first limit has to wait, one below it does not.
  CHECK(resize(w, f, 50 * kBlock) == Code::try_again);
  CHECK(data(w, f).extents.size() == 30);
  CHECK(resize(w, f, 5 * kBlock) == Code::ok);
  CHECK(resize(w, f, 300 * kBlock) == Code::ok);
  CHECK(data(w, f).extents.size() == 5);

  std::size_t batches = 0;
  for (; leaves(w, schema::keys::garbages()) > 0 && batches < 10; ++batches) {
    const std::size_t before = leaves(w, schema::keys::extents(f));
    ns::housekeeping(w.overlay, w.context);
    CHECK(before - leaves(w, schema::keys::extents(f)) <= limits::kPurgePerBatch);
    CHECK(clean(w));
  }
  CHECK(batches == 4);
  CHECK(leaves(w, schema::keys::extents(f)) == 5);
  CHECK(data(w, f).extents.size() == 5);
}

TEST_CASE("unlinking a huge file is constant work now, and purged in pieces") {
  World w;
  const auto f = w.file(kRootIno, "f");
  w.run(blocks(f, 0, 150, 1));
  w.run(schema::Remove{World::at(kRootIno), World::named("f"), false});
  CHECK(data(w, f).extents.size() == 150);
  w.advance_lease_time(limits::kOrphanGraceUs);
  ns::housekeeping(w.overlay, w.context);
  CHECK_FALSE(w.stat(f));
  CHECK(w.counters().bytes == 0);
  CHECK(clean(w));
  CHECK(leaves(w, schema::keys::extents(f)) == 150 - limits::kPurgePerOperation - 64);
  for (int i = 0; i < 2; ++i) ns::housekeeping(w.overlay, w.context);
  CHECK(leaves(w, schema::keys::inode_prefix(f)) == 0);
  CHECK(leaves(w, schema::keys::garbages()) == 0);
}

TEST_CASE("T10.4 a hold keeps an unlinked file; expiry goes before a hold of the same batch") {
  World w;
  const auto f = w.file(kRootIno, "f");
  const auto g = w.file(kRootIno, "g");
  w.context.session_id[0] = 1;
  CHECK(w.run(schema::Hold{f, false}).code == Code::ok);
  CHECK(w.run(schema::Hold{f, false}).code == Code::ok);
  w.run(schema::Remove{World::at(kRootIno), World::named("f"), false});
  w.run(schema::Remove{World::at(kRootIno), World::named("g"), false});
  w.advance_lease_time(limits::kOrphanGraceUs);
  ns::housekeeping(w.overlay, w.context);
  CHECK(w.stat(f));
  CHECK_FALSE(w.stat(g));
  CHECK(w.run(schema::Hold{g, false}).code == Code::stale_handle);
  CHECK(clean(w));
  ns::release_holds(w.overlay, w.context.session_id);
  CHECK(leaves(w, schema::keys::session_holds(w.context.session_id)) == 0);
  CHECK(w.run(schema::Hold{f, true}).code == Code::no_entry);
  w.advance_lease_time(limits::kOrphanGraceUs);
  ns::housekeeping(w.overlay, w.context);
  CHECK_FALSE(w.stat(f));
  CHECK(clean(w));
}

TEST_CASE("holds are limited per session, and not for everybody") {
  World w;
  const auto f = w.file(kRootIno, "f", 0600);
  CHECK(w.code({1000, 1000, {}}, schema::Hold{f, false}) == Code::access_denied);
  CHECK(w.run(schema::Hold{kRootIno, false}).code == Code::is_directory);
  for (std::size_t i = 0; i < limits::kMaxHoldsPerSession; ++i)
    CHECK(w.run(schema::Hold{w.file(kRootIno, std::to_string(i)), false}).code == Code::ok);
  CHECK(w.run(schema::Hold{f, false}).code == Code::no_space);
}

TEST_CASE("the total of bytes does not overflow") {
  World w;
  const auto f = w.file(kRootIno, "f");
  schema::Counters c = w.counters();
  c.bytes = ~std::uint64_t{0} - 10;
  w.overlay.put(schema::keys::counters(), encode(c));
  CHECK(resize(w, f, 11) == Code::no_space);
  CHECK(resize(w, f, 10) == Code::ok);
}
