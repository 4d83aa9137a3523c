// Large directories: a listing misses nothing that stays, also while entries go away, and
// positions are stable.
#include <dirent.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "place.hpp"

using namespace bftmeta::test;

namespace {

class Directory {
 public:
  explicit Directory(const std::string& path) : dir_(::opendir(path.c_str())) {
    REQUIRE(dir_ != nullptr);
  }
  ~Directory() { ::closedir(dir_); }
  // "" at the end; "." and ".." are left out.
  std::string next() {
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(dir_);
      REQUIRE(errno == 0);
      if (entry == nullptr) return "";
      const std::string name = entry->d_name;
      if (name != "." && name != "..") return name;
    }
  }
  DIR* get() const { return dir_; }

 private:
  DIR* dir_;
};

void make_files(const Place& p, int count) {
  std::atomic<int> next{0};
  std::atomic<int> failures{0};
  std::vector<std::thread> makers;
  for (int t = 0; t < 32; ++t) {
    makers.emplace_back([&] {
      for (int i = next++; i < count; i = next++) {
        const int fd =
            ::open((p / ("f" + std::to_string(i))).c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (fd < 0 || ::close(fd) != 0) ++failures;
      }
    });
  }
  for (std::thread& maker : makers) maker.join();
  REQUIRE(failures == 0);
}

}  // namespace

TEST_CASE("5000 entries listed while others are removed: what stays is listed exactly once") {
  const Place p;
  constexpr int kCount = 5000;
  make_files(p, kCount);
  Directory directory(p.path());
  std::map<std::string, int> seen;
  for (int i = 0; i < 700; ++i) ++seen[directory.next()];
  std::set<std::string> removed;
  for (int i = 0; i < kCount; i += 10) removed.insert("f" + std::to_string(i));
  std::thread remover([&] {
    for (const std::string& name : removed) ::unlink((p / name).c_str());
  });
  for (std::string name = directory.next(); !name.empty(); name = directory.next()) ++seen[name];
  remover.join();
  int missing = 0;
  for (int i = 0; i < kCount; ++i) {
    const std::string name = "f" + std::to_string(i);
    if (!removed.contains(name) && !seen.contains(name)) ++missing;
  }
  CHECK(missing == 0);
  for (const auto& [name, times] : seen) CHECK(times == 1);
  CHECK(stat_of(p.path()).st_nlink == 2);

  // Now that nothing changes: rewinding and every position of telldir lead where they did.
  ::rewinddir(directory.get());
  std::vector<std::pair<long, std::string>> positions;
  for (;;) {
    const long position = ::telldir(directory.get());
    const std::string name = directory.next();
    if (name.empty()) break;
    positions.emplace_back(position, name);
  }
  CHECK(positions.size() == kCount - removed.size());
  for (std::size_t i = 3; i < positions.size(); i += 337) {
    ::seekdir(directory.get(), positions[i].first);
    CHECK(directory.next() == positions[i].second);
  }
  // A position outlives the removal of the entry that it stood before.
  REQUIRE(::unlink((p / positions[50].second).c_str()) == 0);
  ::seekdir(directory.get(), positions[50].first);
  const std::string next = directory.next();
  CHECK((next == positions[51].second || next == positions[50].second));
}

TEST_CASE("an entry is seen by the next listing, and gone after its removal") {
  const Place p;
  write_file(p / "one", "");
  {
    Directory directory(p.path());
    CHECK(directory.next() == "one");
    CHECK(directory.next().empty());
  }
  REQUIRE(::unlink((p / "one").c_str()) == 0);
  Directory directory(p.path());
  CHECK(directory.next().empty());
}
