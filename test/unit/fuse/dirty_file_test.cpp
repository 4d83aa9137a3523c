#include "fuse/dirty_file.hpp"

#include <doctest/doctest.h>

#include <random>

#include "blocks/block_directory.hpp"
#include "model_metadata.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using fuse::DirtyFile;

namespace {

constexpr std::uint64_t kBlock = limits::kBlockSize;
constexpr std::size_t kMiB = std::size_t{1} << 20;
const schema::Caller kCaller{};

struct Fixture {
  explicit Fixture(blocks::BlockStore& blocks, std::size_t max_dirty = 64 * kMiB)
      : metadata(blocks), uploader(blocks, 2), budget(max_dirty), services(make(blocks)) {}
  fuse::FileServices make(blocks::BlockStore& blocks) {
    return {metadata, blocks, uploader, budget, [this] { return ++clock; }, [](unsigned) {}};
  }
  std::int64_t clock = 1000;
  test::ModelMetadata metadata;
  fuse::Uploader uploader;
  fuse::DirtyBudget budget;
  fuse::FileServices services;
  DirtyFile file{7, services};
};

Bytes random_bytes(std::mt19937_64& random, std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t v = random();
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&v), std::min<std::size_t>(8, size - i),
                bytes.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return bytes;
}

Bytes read_some(DirtyFile& file, std::uint64_t from, std::size_t size) {
  Bytes out(size);
  const auto got = file.read(kCaller, from, out);
  REQUIRE(got);
  out.resize(*got);
  return out;
}

// Offsets that hit block borders, the inline limit and the middle of things.
std::uint64_t interesting(std::mt19937_64& random, std::uint64_t limit) {
  const std::array<std::uint64_t, 8> marks = {0,          1535,   1536,       1537,
                                              kBlock - 1, kBlock, kBlock + 1, 2 * kBlock};
  if (random() % 2 == 0) return std::min(marks[random() % marks.size()], limit);
  return random() % (limit + 1);
}

// What a file is to be, without blocks, buffers or commits.
struct Plain {
  Bytes bytes;
  void write(std::uint64_t at, ByteView data) {
    bytes.resize(std::max<std::size_t>(bytes.size(), at + data.size()));
    std::ranges::copy(data, bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void punch(std::uint64_t from, std::uint64_t to) {
    for (to = std::min<std::uint64_t>(to, bytes.size()); from < to; ++from) bytes[from] = 0;
  }
  Bytes part(std::uint64_t from, std::size_t size) const {
    if (from >= bytes.size()) return {};
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(from);
    return {begin, begin + static_cast<std::ptrdiff_t>(std::min(size, bytes.size() - from))};
  }
};

void change_at_random(Fixture& f, Plain& plain, std::mt19937_64& random, std::uint64_t limit) {
  const std::uint64_t at = interesting(random, limit);
  const std::uint64_t choice = random() % 8;
  if (choice < 3) {
    const std::size_t longest = random() % 3 == 0 ? kBlock : 5000;
    const Bytes data = random_bytes(random, 1 + random() % longest);
    REQUIRE(f.file.write(kCaller, at, data));
    plain.write(at, data);
  } else if (choice == 3) {
    REQUIRE(f.file.truncate(kCaller, at));
    plain.bytes.resize(at);
  } else if (choice == 4) {
    const std::uint64_t to = at + 1 + random() % (2 * kBlock);
    REQUIRE(f.file.punch(kCaller, at, to));
    plain.punch(at, to);
  } else if (choice == 5) {
    REQUIRE(f.file.flush());
    REQUIRE_FALSE(f.file.dirty());
    REQUIRE((f.metadata.contents() == plain.bytes));
  }
}

void run_random_operations(Fixture& f, unsigned seed, int steps, std::uint64_t limit) {
  std::mt19937_64 random(seed);
  Plain plain;
  for (int step = 0; step < steps; ++step) {
    CAPTURE(seed);
    CAPTURE(step);
    change_at_random(f, plain, random, limit);
    REQUIRE((read_some(f.file, 0, plain.bytes.size() + 10) == plain.bytes));
    const std::uint64_t from = interesting(random, limit);
    REQUIRE((read_some(f.file, from, 3000) == plain.part(from, 3000)));
  }
  REQUIRE(f.file.flush());
  CHECK((f.metadata.contents() == plain.bytes));
  CHECK(f.budget.used() == 0);
}

}  // namespace

TEST_CASE("random writes, truncates, holes and reads equal a byte array") {
  for (const unsigned seed : {1U, 2U, 3U, 4U}) {
    test::MemoryBlocks blocks;
    Fixture f(blocks);
    run_random_operations(f, seed, 150, 3 * kBlock);
  }
}

TEST_CASE("the same in a small file, around the inline limit") {
  test::MemoryBlocks blocks;
  Fixture f(blocks);
  run_random_operations(f, 11, 600, 4000);
}

TEST_CASE("the same over a directory of blocks, with so little memory that all is written back") {
  test::TempDir temp;
  auto directory =
      blocks::BlockDirectory::open(storage::posix_file_system(), temp / "blocks", nullptr);
  REQUIRE(directory);
  Fixture f(**directory, 64 * 1024);
  run_random_operations(f, 21, 60, 3 * kBlock);
}

TEST_CASE("a file that another client changes meanwhile: our bytes are laid over its state") {
  test::MemoryBlocks blocks;
  Fixture f(blocks);
  REQUIRE(f.file.write(kCaller, 0, Bytes(3 * kBlock, 1)));
  REQUIRE(f.file.flush());
  // Ours: the middle of block 1. Theirs, just before our commit: all of blocks 0 and 1.
  REQUIRE(f.file.write(kCaller, kBlock + 100, Bytes(50, 2)));
  f.metadata.before_commit = [&] {
    const Hash theirs = *blocks.put(Bytes(kBlock, 3));
    f.metadata.file.extents[0] = {static_cast<std::uint32_t>(kBlock), theirs};
    f.metadata.file.extents[kBlock] = {static_cast<std::uint32_t>(kBlock), theirs};
    ++f.metadata.file.attributes.version;
    f.metadata.before_commit = nullptr;
  };
  REQUIRE(f.file.flush());
  Bytes expected(3 * kBlock, 3);
  std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(2 * kBlock), kBlock, std::uint8_t{1});
  std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(kBlock + 100), 50, std::uint8_t{2});
  CHECK((f.metadata.contents() == expected));
  CHECK((read_some(f.file, 0, 4 * kBlock) == expected));
}

TEST_CASE("endless conflicts end in an error that keeps what was written") {
  test::MemoryBlocks blocks;
  Fixture f(blocks);
  REQUIRE(f.file.write(kCaller, 0, to_bytes("abc")));
  f.metadata.before_commit = [&] { ++f.metadata.file.attributes.version; };
  const auto failed = f.file.flush();
  REQUIRE_FALSE(failed);
  CHECK(failed.error().error == EIO);
  f.metadata.before_commit = nullptr;
  REQUIRE(f.file.flush());
  CHECK(f.metadata.contents() == to_bytes("abc"));
}

TEST_CASE("errors of storing are reported by every flush until it works, and lose nothing") {
  test::MemoryBlocks blocks;
  Fixture f(blocks);
  const Bytes content(2 * kBlock + 5, 9);
  blocks.refuse = Errc::disk_full;
  REQUIRE(f.file.write(kCaller, 0, content));
  for (int i = 0; i < 2; ++i) {
    const auto failed = f.file.flush();
    REQUIRE_FALSE(failed);
    CHECK(failed.error().error == ENOSPC);
    CHECK(f.file.dirty());
  }
  CHECK(f.metadata.commits == 0);
  CHECK((read_some(f.file, 0, content.size()) == content));
  {
    std::lock_guard lock(blocks.mutex);
    blocks.refuse.reset();
  }
  // Blocks that were refused in the background are sent again, each by the flush that finds it.
  fuse::Outcome<void> flushed = f.file.flush();
  for (int i = 0; i < 3 && !flushed; ++i) flushed = f.file.flush();
  REQUIRE(flushed);
  CHECK((f.metadata.contents() == content));

  f.metadata.fail_with = schema::Code::quota_exceeded;
  REQUIRE(f.file.write(kCaller, 0, to_bytes("x")));
  CHECK(f.file.flush().error().error == EDQUOT);
  f.metadata.fail_with.reset();
  CHECK(f.file.flush());
}

TEST_CASE("memory for written data is bounded, and a writer learns that it cannot be stored") {
  test::MemoryBlocks blocks;
  Fixture f(blocks, 4 * kMiB);
  for (std::uint64_t at = 0; at < 40 * kBlock; at += 128 * 1024) {
    REQUIRE(f.file.write(kCaller, at, Bytes(128 * 1024, 5)));
    REQUIRE(f.budget.used() <= 4 * kMiB + 2 * kBlock);
  }
  // Scattered small writes never fill a block.
  for (std::uint64_t at = 0; at < 600; ++at)
    REQUIRE(f.file.write(kCaller, at * kBlock + 17, Bytes(9000, 6)));
  CHECK(f.budget.used() <= 4 * kMiB + 2 * kBlock);
  REQUIRE(f.file.flush());

  blocks.refuse = Errc::disk_full;
  int error = 0;
  for (std::uint64_t at = 0; at < 40 * kBlock && error == 0; at += kBlock) {
    const auto written = f.file.write(kCaller, at, Bytes(kBlock, 7));
    if (!written) error = written.error().error;
  }
  CHECK(error == ENOSPC);
}

TEST_CASE("small files are one commit and no block, and inline data moves out when they grow") {
  test::MemoryBlocks blocks;
  Fixture f(blocks);
  REQUIRE(f.file.write(kCaller, 0, Bytes(limits::kMaxInline, 1)));
  REQUIRE(f.file.flush());
  CHECK(f.metadata.commits == 1);
  CHECK(blocks.puts == 0);
  REQUIRE(f.file.write(kCaller, 5 * kBlock, Bytes(10, 2)));
  REQUIRE(f.file.flush());
  CHECK(f.metadata.commits == 2);
  CHECK(f.metadata.file.extents.size() == 2);
  CHECK_FALSE(f.metadata.file.inline_data);
  const std::size_t fetches = f.metadata.fetches;
  CHECK(read_some(f.file, 0, 10) == Bytes(10, 1));
  CHECK(f.metadata.fetches == fetches);  // what was committed need not be read back
}

TEST_CASE("attributes show what is written, and its times survive the commit") {
  test::MemoryBlocks blocks;
  Fixture f(blocks);
  const auto fresh = f.file.revalidate(kCaller);
  REQUIRE(fresh);
  REQUIRE(f.file.write(kCaller, 100, to_bytes("abc")));
  const auto shown = f.file.overlay(*fresh);
  CHECK(shown.size == 103);
  REQUIRE(f.file.flush());
  CHECK(f.metadata.file.attributes.mtime_ns == shown.mtime_ns);
  CHECK(f.metadata.file.attributes.size == 103);
}

TEST_CASE("SEEK_DATA and SEEK_HOLE") {
  test::MemoryBlocks blocks;
  Fixture f(blocks);
  REQUIRE(f.file.truncate(kCaller, 6 * kBlock));
  REQUIRE(f.file.write(kCaller, 2 * kBlock, Bytes(kBlock + 100, 1)));
  for (int pass = 0; pass < 2; ++pass) {
    CHECK(*f.file.seek(kCaller, 0, true) == 2 * kBlock);
    CHECK(*f.file.seek(kCaller, 0, false) == 0);
    CHECK(*f.file.seek(kCaller, 2 * kBlock, false) == 3 * kBlock + 100);
    CHECK(*f.file.seek(kCaller, 3 * kBlock + 50, true) == 3 * kBlock + 50);
    CHECK(f.file.seek(kCaller, 4 * kBlock, true).error().error == ENXIO);
    CHECK(f.file.seek(kCaller, 6 * kBlock, false).error().error == ENXIO);
    REQUIRE(f.file.flush());
  }
}

TEST_CASE("more blocks than one commit takes") {
  test::MemoryBlocks blocks;
  Fixture f(blocks);
  for (std::uint64_t i = 0; i < 700; ++i)
    REQUIRE(f.file.write(kCaller, i * kBlock, Bytes(3, static_cast<std::uint8_t>(i))));
  REQUIRE(f.file.flush());
  CHECK(f.metadata.file.extents.size() == 700);
  CHECK(f.metadata.commits >= 2);
  CHECK(f.metadata.file.attributes.size == 699 * kBlock + 3);
}

TEST_CASE("blocks are put again for those who hold them when the file names them") {
  enum class Change { before_commit, in_commit, in_commit_of_inline };
  const auto check = [](std::size_t budget, Change when) {
    CAPTURE(budget);
    CAPTURE(static_cast<int>(when));
    test::MemoryBlocks blocks;
    Fixture f(blocks, budget);
    std::mt19937_64 random(5);
    const Bytes content = random_bytes(random, 8 * kBlock + 4096);
    std::uint64_t from = 0;
    if (when == Change::in_commit_of_inline) {
      REQUIRE(f.file.write(kCaller, 0, ByteView(content).first(1000)));
      REQUIRE(f.file.flush());
      from = kBlock;
    }
    for (std::uint64_t at = from; at < content.size(); at += kBlock / 2)
      REQUIRE(f.file.write(
          kCaller, at,
          ByteView(content).subspan(at, std::min<std::size_t>(kBlock / 2, content.size() - at))));
    if (when != Change::in_commit_of_inline) blocks.holders_now = 1;
    if (when != Change::before_commit)
      f.metadata.before_commit = [&] {
        blocks.holders_now = 3;
        f.metadata.before_commit = nullptr;
      };
    REQUIRE(f.file.flush());
    CHECK(f.metadata.file.extents.size() >= 8);
    for (const auto& [offset, extent] : f.metadata.file.extents)
      CHECK(blocks.put_under.at(extent.digest) == blocks.holders_now);
    CHECK(f.metadata.contents().size() == content.size());
    CHECK((f.metadata.contents() == read_some(f.file, 0, content.size())));
    CHECK(f.budget.used() == 0);
  };
  for (const std::size_t budget : {64 * kMiB, 2 * kMiB})  // they are in memory still, or not
    for (const Change when :
         {Change::before_commit, Change::in_commit, Change::in_commit_of_inline})
      check(budget, when);
}

TEST_CASE("what is neither named nor in memory is named when others are to hold it") {
  test::MemoryBlocks blocks;
  Fixture f(blocks, 2 * kMiB);
  const Bytes content(6 * kBlock, 4);
  for (std::uint64_t at = 0; at < content.size(); at += kBlock / 2)
    REQUIRE(f.file.write(kCaller, at, ByteView(content).subspan(at, kBlock / 2)));
  REQUIRE(f.file.flush_unnamed());
  CHECK(f.metadata.commits == 0);
  blocks.holders_now = 1;
  REQUIRE(f.file.flush_unnamed());
  CHECK_FALSE(f.file.dirty());
  CHECK((f.metadata.contents() == content));
  const std::size_t commits = f.metadata.commits;
  REQUIRE(f.file.write(kCaller, 0, to_bytes("in memory")));
  blocks.holders_now = 2;
  REQUIRE(f.file.flush_unnamed());
  CHECK(f.metadata.commits == commits);
}
