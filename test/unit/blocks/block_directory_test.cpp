#include "blocks/block_directory.hpp"

#include <doctest/doctest.h>

#include "blocks/block_cache.hpp"
#include "crypto/hash.hpp"
#include "support/temp_dir.hpp"
#include "watched_file_system.hpp"

using namespace bftmeta;
using blocks::BlockDirectory;

namespace {

struct Fixture {
  test::TempDir temp;
  test::WatchedFileSystem fs;
  std::vector<std::string> reports;
  std::unique_ptr<BlockDirectory> directory = open();

  std::unique_ptr<BlockDirectory> open() {
    auto opened = BlockDirectory::open(
        fs, temp / "blocks", [this](const std::string& line) { reports.push_back(line); });
    REQUIRE(opened);
    fs.forget();
    return std::move(*opened);
  }
  std::string path_of(const Hash& digest) const {
    const std::string hex = to_hex(digest);
    return temp / ("blocks/" + hex.substr(0, 2) + "/" + hex.substr(2));
  }
};

std::size_t position(const std::vector<std::string>& diary, const std::string& start) {
  const auto it =
      std::ranges::find_if(diary, [&](const std::string& call) { return call.starts_with(start); });
  REQUIRE(it != diary.end());
  return static_cast<std::size_t>(it - diary.begin());
}

std::string temp_subdirectory(const Fixture& f, const Hash& digest) {
  return f.temp / ("blocks/" + to_hex(digest).substr(0, 2));
}

}  // namespace

TEST_CASE("a block is named by its plain SHA-256 and comes back") {
  Fixture f;
  const Bytes content = to_bytes("some content");
  const auto digest = f.directory->put(content);
  REQUIRE(digest);
  CHECK(*digest == crypto::sha256(content));
  CHECK(test::read_text(f.path_of(*digest)) == "some content");
  CHECK(**f.directory->get(*digest) == content);
  CHECK(*f.directory->has(*digest));
  CHECK_FALSE(*f.directory->has(crypto::sha256(to_bytes("other"))));
  CHECK(f.directory->get(crypto::sha256(to_bytes("other"))).error().code == Errc::not_found);
}

TEST_CASE("put syncs content, then renames, then syncs the directory") {
  Fixture f;
  const auto digest = f.directory->put(to_bytes("x"));
  REQUIRE(digest);
  const auto diary = f.fs.diary();
  CHECK(position(diary, "write ") < position(diary, "sync "));
  CHECK(position(diary, "sync ") < position(diary, "rename "));
  const std::string subdirectory = temp_subdirectory(f, *digest);
  CHECK(position(diary, "rename ") < position(diary, "sync_directory " + subdirectory));

  // A block that is there already is not written again, but its name is made durable.
  f.fs.forget();
  REQUIRE(f.directory->put(to_bytes("x")));
  for (const std::string& call : f.fs.diary()) CHECK_FALSE(call.starts_with("create"));
  position(f.fs.diary(), "sync_directory " + subdirectory);
}

TEST_CASE("a put that could not sync its directory has not succeeded") {
  Fixture f;
  f.fs.before = [](const std::string& call) -> Status {
    if (call.starts_with("sync_directory")) return fail(Errc::io, "sync failed");
    return {};
  };
  CHECK(f.directory->put(to_bytes("x")).error().code == Errc::io);
}

TEST_CASE("sizes outside 1 byte to 1 MiB are refused") {
  Fixture f;
  CHECK(f.directory->put({}).error().code == Errc::invalid_argument);
  CHECK(f.directory->put(Bytes(limits::kBlockSize + 1)).error().code == Errc::invalid_argument);
  CHECK(f.directory->put(Bytes(limits::kBlockSize)));
}

TEST_CASE("rot counts as missing, is reported, and is healed by the next put") {
  Fixture f;
  const Bytes content(5000, 7);
  const Hash digest = *f.directory->put(content);
  for (const std::string& rotten : {std::string(5000, 'x'), std::string(), std::string("short"),
                                    std::string(limits::kBlockSize + 5, 'y')}) {
    test::write_text(f.path_of(digest), rotten);
    f.reports.clear();
    CHECK(f.directory->get(digest).error().code == Errc::corrupt);
    REQUIRE(f.reports.size() == 1);
    CHECK(f.reports[0].find(short_hex(digest)) != std::string::npos);
    CHECK_FALSE(*f.directory->has(digest));
    REQUIRE(f.directory->put(content));
    CHECK(**f.directory->get(digest) == content);
  }
}

TEST_CASE("a full disk is said to be full and leaves nothing behind") {
  Fixture f;
  f.fs.before = [](const std::string& call) -> Status {
    if (call.starts_with("write")) return fail(Errc::disk_full, "no space");
    return {};
  };
  const auto refused = f.directory->put(to_bytes("x"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::disk_full);
  CHECK(f.fs.list(f.temp / "blocks/unfinished")->empty());
  f.fs.before = [](const std::string&) -> Status { return {}; };
  CHECK(f.directory->put(to_bytes("x")));
}

TEST_CASE("opening removes what a crash left, and a second process is refused") {
  Fixture f;
  const Hash digest = *f.directory->put(to_bytes("kept"));
  test::write_text(f.temp / "blocks/unfinished/17", "half a bl");
  CHECK(BlockDirectory::open(f.fs, f.temp / "blocks", nullptr).error().code == Errc::busy);
  f.directory.reset();
  f.directory = f.open();
  CHECK(f.fs.list(f.temp / "blocks/unfinished")->empty());
  CHECK(*f.directory->has(digest));
}

TEST_CASE("a group shares directory syncs and answers for each block") {
  Fixture f;
  std::vector<Bytes> contents;
  std::vector<BlockDirectory::Named> group;
  for (std::uint8_t i = 0; i < 40; ++i) contents.push_back(Bytes(100, i));
  for (const Bytes& content : contents) group.push_back({crypto::sha256(content), content});
  group.push_back(group[3]);
  for (const Status& status : f.directory->put_group(group)) CHECK(status);
  std::set<std::string> directories;
  std::size_t syncs = 0;
  for (const std::string& call : f.fs.diary()) {
    if (!call.starts_with("sync_directory ")) continue;
    ++syncs;
    directories.insert(call);
  }
  CHECK(syncs == directories.size());
  for (const auto& block : group) CHECK(*f.directory->has(block.digest));
}

TEST_CASE("the cache serves what it has seen and stays within its capacity") {
  Fixture f;
  blocks::BlockCache cache(*f.directory, 10'000);
  const Hash first = *cache.put(Bytes(4000, 1));
  const Hash second = *cache.put(Bytes(4000, 2));
  const Hash third = *cache.put(Bytes(4000, 3));
  REQUIRE(cache.get(first));
  REQUIRE(cache.get(second));
  f.fs.forget();
  CHECK(**cache.get(first) == Bytes(4000, 1));
  CHECK(f.fs.diary().empty());
  REQUIRE(cache.get(third));  // pushes out `second`, the least recently used
  f.fs.forget();
  REQUIRE(cache.get(first));
  CHECK(f.fs.diary().empty());
  REQUIRE(cache.get(second));
  CHECK_FALSE(f.fs.diary().empty());
  CHECK(cache.get(crypto::sha256(to_bytes("none"))).error().code == Errc::not_found);
}
