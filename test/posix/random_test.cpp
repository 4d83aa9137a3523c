// Random operations on one file, compared with an array of bytes after every one, in the manner of
// fsx. Seed and length can be given: BFTMETA_TEST_SEED, BFTMETA_TEST_OPS.
#include <sys/mman.h>

#include <linux/falloc.h>

#include <memory>
#include <random>

#include "place.hpp"

using namespace bftmeta::test;

namespace {

constexpr std::size_t kLongest = 2'500'000;

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

class RandomFile {
 public:
  explicit RandomFile(std::uint64_t seed) : random_(seed) {}

  void step() {
    switch (below(9)) {
      case 0:
      case 1: return write();
      case 2: return mapped_write();
      case 3: return truncate();
      case 4: return punch();
      case 5: return reopen();
      case 6: return mapped_read();
      case 7: REQUIRE(::fsync(fd()) == 0); return;
      default: return read();
    }
  }
  void check_all() {
    file_.reset();
    REQUIRE((read_file(place_ / "f") == expected_));
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : random_() % limit; }
  int fd() {
    if (!file_) file_ = std::make_unique<Fd>(place_ / "f", O_RDWR | O_CREAT);
    return *file_;
  }
  // Often small, sometimes more than a block.
  std::size_t length() { return 1 + below(below(4) == 0 ? 1'300'000 : 9'000); }

  std::string fresh_bytes(std::size_t size) {
    std::string bytes(size, '\0');
    char c = static_cast<char>(random_());
    for (char& b : bytes) b = c++;
    return bytes;
  }

  void write() {
    const std::size_t at = below(kLongest);
    const std::string bytes = fresh_bytes(std::min(length(), kLongest - at));
    REQUIRE(::pwrite(fd(), bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
            static_cast<ssize_t>(bytes.size()));
    expected_.resize(std::max(expected_.size(), at + bytes.size()), '\0');
    expected_.replace(at, bytes.size(), bytes);
  }
  void read() {
    const std::size_t at = below(kLongest);
    const std::size_t size = length();
    REQUIRE((read_file(fd(), size, static_cast<off_t>(at)) ==
             (at < expected_.size() ? expected_.substr(at, size) : "")));
  }
  void truncate() {
    const std::size_t size = below(kLongest);
    REQUIRE(::ftruncate(fd(), static_cast<off_t>(size)) == 0);
    expected_.resize(size, '\0');
    struct stat st {};
    REQUIRE(::fstat(fd(), &st) == 0);
    REQUIRE(st.st_size == static_cast<off_t>(size));
  }
  void punch() {
    const std::size_t at = below(kLongest);
    const std::size_t size = length();
    constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const int error = error_of(
        [&] { return ::fallocate(fd(), kMode, static_cast<off_t>(at), static_cast<off_t>(size)); });
    if (error == EOPNOTSUPP) return;
    REQUIRE(error == 0);
    if (at < expected_.size()) {
      const std::size_t inside = std::min(size, expected_.size() - at);
      expected_.replace(at, inside, inside, '\0');
    }
  }
  void reopen() {
    if (file_) REQUIRE(file_->close() == 0);
    file_.reset();
  }
  template <class Use>
  void with_mapping(int protection, Use&& use) {
    if (expected_.empty()) return;
    void* map = ::mmap(nullptr, expected_.size(), protection, MAP_SHARED, fd(), 0);
    REQUIRE(map != MAP_FAILED);
    const std::size_t at = below(expected_.size());
    use(static_cast<char*>(map) + at, at, std::min(length(), expected_.size() - at));
    REQUIRE(::munmap(map, expected_.size()) == 0);
  }
  void mapped_write() {
    with_mapping(PROT_READ | PROT_WRITE, [&](char* bytes, std::size_t at, std::size_t size) {
      const std::string fresh = fresh_bytes(size);
      std::copy(fresh.begin(), fresh.end(), bytes);
      expected_.replace(at, size, fresh);
    });
  }
  void mapped_read() {
    with_mapping(PROT_READ, [&](char* bytes, std::size_t at, std::size_t size) {
      REQUIRE((std::string(bytes, size) == expected_.substr(at, size)));
    });
  }

  Place place_;
  std::mt19937_64 random_;
  std::unique_ptr<Fd> file_ = nullptr;
  std::string expected_;
};

}  // namespace

TEST_CASE("random operations on a file equal an array of bytes") {
  const std::uint64_t seed = setting("BFTMETA_TEST_SEED", 1);
  const std::uint64_t operations = setting("BFTMETA_TEST_OPS", 300);
  RandomFile file(seed);
  for (std::uint64_t i = 0; i < operations; ++i) {
    CAPTURE(seed);
    CAPTURE(i);
    file.step();
    if (i % 50 == 49) file.check_all();
  }
  file.check_all();
}
