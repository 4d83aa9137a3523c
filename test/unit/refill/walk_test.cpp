// The blocks that a version names, slice by slice.
#include "refill/walk.hpp"

#include "schema/keys.hpp"
#include "schema/records.hpp"
#include "world.hpp"

using namespace bftmeta;
using refill::Slice;

namespace {

std::vector<Hash> walk_all(const tree::Version& version, std::size_t* slices = nullptr) {
  std::vector<Hash> digests;
  std::optional<Key> cursor = refill::first_cursor();
  double at = 0;
  while (cursor) {
    const auto slice = refill::named_blocks(version, *cursor);
    REQUIRE(slice);
    CHECK(slice->begin >= at);
    CHECK(slice->end >= slice->begin);
    CHECK(slice->blocks.size() <= refill::kSliceBlocks);
    at = slice->end;
    for (const auto& block : slice->blocks) digests.push_back(block.digest);
    if (slice->next) CHECK(*slice->next > *cursor);
    cursor = slice->next;
    if (slices != nullptr) ++*slices;
  }
  CHECK(at == 1);
  return digests;
}

}  // namespace

TEST_CASE("walk: an empty tree, and one without files") {
  CHECK(walk_all(tree::Version::empty()).empty());
  CHECK(walk_all(test::Files().version()).empty());
}

TEST_CASE("walk: all blocks in key order, in bounded slices that end inside a file") {
  test::Files files;
  std::vector<Hash> expected;
  for (std::uint64_t ino = 1; ino < 5; ++ino)
    for (const Hash& digest : files.add(ino, 200, 10)) expected.push_back(digest);
  std::size_t slices = 0;
  CHECK(walk_all(files.version(), &slices) == expected);
  CHECK(slices == 4);
}

TEST_CASE("walk: what is cut off, or of an inode that is gone, is not named") {
  test::Files files;
  const auto digest = [](std::uint8_t i) { return Hash{i}; };
  files.attributes(1, 1, 2, limits::kBlockSize);  // live: below the limit, or of generation 2
  files.extent(1, 0, digest(1), 1, 1);
  files.extent(1, limits::kBlockSize, digest(2), 1, 1);
  files.extent(1, 2 * limits::kBlockSize, digest(3), 1, 2);
  files.extent(2, 0, digest(4), 1, 0);
  const tree::Version version = files.version();
  CHECK(walk_all(version) == std::vector{digest(1), digest(3)});
  // A cursor between the extents of a file finds its attributes.
  const auto slice = refill::named_blocks(version, schema::keys::extent(1, limits::kBlockSize));
  REQUIRE(slice);
  CHECK(slice->blocks == std::vector<refill::NamedBlock>{{digest(3), 1}});
}

TEST_CASE("walk: a large directory is jumped over, and any key may be the cursor") {
  test::Files files;
  files.attributes(1, 0);
  for (std::uint8_t i = 0; i < 250; ++i)
    files.put(schema::keys::dirent(1, Hash{i}),
              encode(schema::Dirent{schema::kRecordFormat, 7, schema::FileType::regular, {'n'}}));
  const std::vector<Hash> expected = files.add(2, 3, 10);
  const tree::Version version = files.version();
  CHECK(walk_all(version) == expected);
  for (const Key& cursor : {Key(), Key(ByteView(Hash{})), schema::keys::dirent(1, Hash{3})}) {
    const auto slice = refill::named_blocks(version, cursor);
    REQUIRE(slice);
    CHECK(slice->blocks.size() == 3);
    CHECK_FALSE(slice->next);
  }
  Bytes behind(Key::kMaxSize, 0xff);
  const auto none = refill::named_blocks(version, Key(behind));
  REQUIRE(none);
  CHECK(none->blocks.empty());
  CHECK_FALSE(none->next);
}
