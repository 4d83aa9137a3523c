// T7.7: bytes of the state store flip on the disk. LMDB has no checksums, so it may crash or refuse
// to open; what it gives is checked against hashes. Never may a wrong value, a wrong absence, a
// listing that is not complete or another root come out.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <random>

#include "storage/lmdb_check.hpp"
#include "storage/lmdb_store.hpp"
#include "support/temp_dir.hpp"
#include "tree/flush.hpp"
#include "unit/tree/model.hpp"

using namespace bftmeta;
using namespace bftmeta::storage;
namespace tt = tree::test;

namespace {

constexpr LmdbOptions kOptions{.map_bytes = 64ULL << 20};
constexpr std::size_t kPage = 4096;

// How a process that reads everything from a damaged store ends.
enum Exit : int { kUnharmed = 0, kRefused = 10, kNoticed = 11, kWrong = 12 };

// A store of several generations, hence with free pages, and what is in it.
struct Stored {
  Stored() {
    auto store = LmdbPageStore::open(temp / "state", kOptions);
    REQUIRE(store);
    tt::Rng rng(11);
    const tt::KeySource keys(500);
    tree::Version head = tree::Version::empty({.pinned_nodes = 8});
    for (int round = 0; round < 6; ++round) {
      head = *head.apply(tt::random_batch(rng, model, keys, 200, 20));
      tree::WriteSet set = tree::begin_flush(head);
      auto writer = (*store)->begin();
      REQUIRE(writer);
      while (!*set.write_some(**writer, 100)) {
      }
      auto snapshot = (*writer)->commit(set.root_record(), to_bytes("meta"));
      REQUIRE(snapshot);
      head = tree::rebase(head, set, *snapshot);
    }
    REQUIRE((*store)->sync());
    root = head.root_hash();
    tt::Model after = model;
    next = tt::random_batch(rng, after, keys, 100, 20);
    next_root = tt::naive_root(after);
    head = tree::Version::empty();
    store->reset();
    bytes = bftmeta::test::read_text(temp / "state/data.mdb");
  }

  static bool flush(LmdbPageStore& store, tree::Version head) {
    tree::WriteSet set = tree::begin_flush(head);
    auto writer = store.begin();
    if (!writer) return false;
    for (bool done = false; !done;) {
      const auto some = set.write_some(**writer, 100);
      if (!some) return false;
      done = *some;
    }
    return (*writer)->commit(set.root_record(), to_bytes("meta")).has_value();
  }

  std::string check() const {
    const Status checked = check_lmdb_file(posix_file_system(), temp / "state");
    if (!checked) CHECK(checked.error().code == Errc::corrupt);
    return checked ? "" : checked.error().message;
  }

  void flip(std::size_t at, std::uint8_t bits) const {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(static_cast<std::uint8_t>(damaged[at]) ^ bits);
    bftmeta::test::write_text(temp / "state/data.mdb", damaged);
  }

  // What a replica does with its store: opens it, compares the root with the certificate, reads,
  // lists, executes a batch, perhaps flushes it. In a process of its own.
  int read_all(bool write = false) const {
    auto store = LmdbPageStore::open(temp / "state", kOptions);
    if (!store) return kRefused;
    const auto snapshot = (*store)->snapshot();
    if (!snapshot) return kRefused;
    const auto version = tree::Version::open(*snapshot, {.pinned_nodes = 8});
    if (!version || version->root_hash() != root) return kRefused;
    bool noticed = false;
    Bytes value;
    for (const auto& [key, expected] : model) switch (version->get(key, value)) {
        case tree::Found::value:
          if (value != expected) return kWrong;
          break;
        case tree::Found::absent: return kWrong;
        case tree::Found::unknown: noticed = true; break;
      }
    tt::Model listed;
    const bool complete = version->scan(Key(), std::nullopt, [&](const Key& key, ByteView v) {
      listed[key] = to_bytes(v);
      return true;
    });
    if (complete ? listed != model : listed.size() > model.size()) return kWrong;
    const auto executed = version->apply(next);
    if (executed && executed->root_hash() != next_root) return kWrong;
    if (executed && write && !flush(**store, *executed)) noticed = true;
    return noticed || !complete || !executed ? kNoticed : kUnharmed;
  }

  // With one byte of the file another one.
  int status_with_flip(std::size_t at, std::uint8_t bits) const {
    flip(at, bits);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) ::dup2(::open("/dev/null", O_WRONLY), fd);
      for (const int s : {SIGABRT, SIGBUS, SIGSEGV, SIGFPE, SIGILL}) ::signal(s, SIG_DFL);
      ::alarm(20);
      ::_exit(read_all(true));
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return status;
  }

  std::uint64_t u64(std::size_t at) const {
    std::uint64_t v = 0;
    std::memcpy(&v, bytes.data() + at, sizeof v);
    return v;
  }
  // By the flags in its header; the table of free pages by the roots that the metas name.
  std::string page_class(std::size_t page) const {
    constexpr std::size_t kFreeRoot = 80;
    if (page < 2) return "meta";
    if (u64(kFreeRoot) == page || u64(kPage + kFreeRoot) == page) return "freelist";
    const auto flags = static_cast<std::uint8_t>(bytes[page * kPage + 10]);
    return (flags & 1) != 0 ? "branch" : (flags & 2) != 0 ? "leaf" : "overflow";
  }

  bftmeta::test::TempDir temp;
  tt::Model model;
  Hash root{};
  std::vector<tree::Update> next;  // a batch on top
  Hash next_root{};
  std::string bytes;  // of data.mdb
};

}  // namespace

TEST_CASE("T7.7 a flipped byte anywhere in the store: never a wrong answer, never another root") {
  const Stored stored;
  CHECK(stored.read_all() == kUnharmed);
  std::mt19937_64 random(5);
  std::map<std::string, int> flips;
  std::map<int, int> ends;
  int crashes = 0;
  const std::size_t pages = stored.bytes.size() / kPage;
  const auto flip = [&](std::size_t page, std::size_t offset) {
    const std::size_t at = page * kPage + offset;
    CAPTURE(at);
    const std::string what = stored.page_class(page);
    CAPTURE(what);
    ++flips[what];
    const int status = stored.status_with_flip(at, static_cast<std::uint8_t>(1 + random() % 255));
    if (!WIFEXITED(status)) {
      CHECK(WTERMSIG(status) != SIGALRM);
      ++crashes;
      return;
    }
    CHECK(WEXITSTATUS(status) != kWrong);
    ++ends[WEXITSTATUS(status)];
  };
  for (std::size_t page = 0; page < pages; ++page) {
    const std::string what = stored.page_class(page);
    const bool rare = what == "meta" || what == "branch" || what == "freelist";
    // Page header and the first pointers behind it, then anywhere.
    if (rare)
      for (std::size_t offset = 0; offset < 40; offset += 2) flip(page, offset);
    for (int i = 0; i < (rare ? 20 : 6); ++i) flip(page, random() % kPage);
  }
  for (const std::string what : {"meta", "branch", "freelist", "leaf"}) {
    CAPTURE(what);
    CHECK(flips[what] >= 40);
  }
  // The sweep says something only if much of it hurt.
  CHECK(crashes + ends[kRefused] + ends[kNoticed] > 50);
  CHECK(ends[kNoticed] > 20);
}

// LMDB survives whatever the check lets pass, also when it writes; and much of what it does not let
// pass would have ended the process, or worse.
TEST_CASE("T7.7 what LMDB would trip over is found without LMDB") {
  const Stored stored;
  bftmeta::test::write_text(stored.temp / "state/data.mdb", stored.bytes);
  REQUIRE(stored.check() == "");
  std::mt19937_64 random(6);
  std::map<std::string, int> found;
  int passed = 0;
  int found_and_tried = 0;
  int crashes = 0;
  const auto flip = [&](std::size_t page, std::size_t offset) {
    const std::size_t at = page * kPage + offset;
    CAPTURE(at);
    const std::string what = stored.page_class(page);
    CAPTURE(what);
    const auto bits = static_cast<std::uint8_t>(1 + random() % 255);
    stored.flip(at, bits);
    const std::string why = stored.check();
    CAPTURE(why);
    // Most of what is found is not tried.
    if (!why.empty() && ++found[what] % 8 != 0) return;
    const int status = stored.status_with_flip(at, bits);
    constexpr int kSanitizer = 1;  // a report of one, where there is one
    const bool crashed = !WIFEXITED(status) || WEXITSTATUS(status) == kSanitizer;
    if (why.empty()) CHECK_FALSE(crashed);
    ++(why.empty() ? passed : found_and_tried);
    if (crashed) ++crashes;
  };
  for (std::size_t page = 0; page < stored.bytes.size() / kPage; ++page) {
    for (std::size_t offset = 0; offset < 40; offset += 3) flip(page, offset);
    for (int i = 0; i < 8; ++i) flip(page, kPage / 2 + random() % (kPage / 2));
  }
  for (const std::string what : {"branch", "freelist", "leaf"}) {
    CAPTURE(what);
    CHECK(found[what] >= 5);
  }
  CHECK(found["meta"] > 0);
  CHECK(passed > 100);
  CHECK(found_and_tried > 20);
  CHECK(crashes > 3);
}

TEST_CASE("T7.7 pages with two uses, nodes at one place, a file that ends too early") {
  const Stored stored;
  const auto check_with = [&](std::size_t at, auto value) {
    std::string damaged = stored.bytes;
    std::memcpy(damaged.data() + at, &value, sizeof value);
    bftmeta::test::write_text(stored.temp / "state/data.mdb", damaged);
    return stored.check();
  };
  constexpr std::size_t kMeta = 144;  // its transaction; the roots are at 80 and 128
  const std::size_t meta = stored.u64(kMeta) > stored.u64(kPage + kMeta) ? 0 : kPage;
  const std::uint64_t main_root = stored.u64(meta + 128);
  const std::uint64_t free_root = stored.u64(meta + 80);
  REQUIRE(free_root < stored.bytes.size() / kPage);
  // The last number of the last list of free pages is at the end of the page.
  const std::string twice = check_with((free_root + 1) * kPage - 8, main_root);
  CAPTURE(twice);
  CHECK((twice.find("in use otherwise") != std::string::npos ||
         twice.find("list of free pages") != std::string::npos));
  CHECK(check_with(meta + 80, main_root).find("in use") != std::string::npos);
  std::uint16_t place = 0;
  std::memcpy(&place, stored.bytes.data() + main_root * kPage + 16, sizeof place);
  CHECK(check_with(main_root * kPage + 18, place).find("overlap") != std::string::npos);
  CHECK(check_with(meta + 136, std::uint64_t{1}).find("does not exist") != std::string::npos);
  bftmeta::test::write_text(stored.temp / "state/data.mdb", stored.bytes.substr(0, 3 * kPage));
  CHECK(stored.check().find("behind the end") != std::string::npos);
  bftmeta::test::write_text(stored.temp / "state/data.mdb", stored.bytes.substr(0, 100));
  CHECK(stored.check().find("behind the end") != std::string::npos);
  bftmeta::test::write_text(stored.temp / "state/data.mdb", "");
  CHECK(stored.check() != "");
}
