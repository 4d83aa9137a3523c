#include "config/identity.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "support/temp_dir.hpp"

using namespace bftmeta;
using namespace bftmeta::config;
using test::read_text;
using test::TempDir;
using test::write_text;

namespace {
PublicKey key(std::uint8_t n) {
  PublicKey k{};
  k[0] = n;
  return k;
}
}  // namespace

TEST_CASE("store identity: created once, private, random, bound to its key") {
  const TempDir dir;
  REQUIRE(create_identity(dir / "a", key(1)).has_value());
  REQUIRE(create_identity(dir / "b", key(1)).has_value());
  struct stat st {};
  REQUIRE(::stat((dir / "a").c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0600);
  const auto a = load_identity(dir / "a");
  const auto b = load_identity(dir / "b");
  REQUIRE(a.has_value());
  REQUIRE(b.has_value());
  CHECK(a->uuid != b->uuid);
  CHECK(a->log_secret != b->log_secret);
  CHECK(a->incarnation == 0);
  CHECK(create_identity(dir / "a", key(2)).error().code == Errc::already_exists);

  CHECK(check_identity("a", *a, key(1), Hash{9}, 2).has_value());
  CHECK(check_identity("a", *a, key(2), Hash{9}, 2).error().code == Errc::identity);
}

TEST_CASE("store identity: once bound it stays with its cluster and replica") {
  const TempDir dir;
  const std::string path = dir / "identity";
  REQUIRE(create_identity(path, key(1)).has_value());
  auto identity = load_identity(path);
  REQUIRE(identity.has_value());
  identity->incarnation = 1;
  identity->cluster_id = Hash{9};
  identity->replica_id = 2;
  REQUIRE(replace_identity(path, *identity).has_value());
  REQUIRE(replace_identity(path, *identity).has_value());
  const auto again = load_identity(path);
  REQUIRE(again.has_value());
  CHECK(*again == *identity);
  CHECK(check_identity(path, *again, key(1), Hash{9}, 2).has_value());
  CHECK(check_identity(path, *again, key(1), Hash{8}, 2).error().code == Errc::identity);
  CHECK(check_identity(path, *again, key(1), Hash{9}, 3).error().code == Errc::identity);
  CHECK_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_CASE("store identity: missing, readable by others, damaged") {
  const TempDir dir;
  const std::string path = dir / "identity";
  CHECK(load_identity(path).error().code == Errc::not_found);
  REQUIRE(create_identity(path, key(1)).has_value());
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  CHECK(load_identity(path).error().code == Errc::permission);
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  const std::string whole = read_text(path);
  std::filesystem::remove(path + kCopySuffix);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_text(path, whole.substr(0, size));
    CHECK(load_identity(path).error().code == Errc::corrupt);
  }
  write_text(path, whole + "x");
  CHECK(load_identity(path).error().code == Errc::corrupt);
  write_text(path, "\x03" + whole.substr(1));
  CHECK(load_identity(path).error().code == Errc::corrupt);
}

TEST_CASE("store identity: every flipped bit is noticed, and the copy stands in for it") {
  const TempDir dir;
  const std::string path = dir / "identity";
  REQUIRE(create_identity(path, key(1)).has_value());
  auto identity = load_identity(path);
  REQUIRE(identity.has_value());
  identity->incarnation = 7;
  REQUIRE(replace_identity(path, *identity).has_value());
  const std::string whole = read_text(path);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    write_text(path, damaged);
    const auto loaded = load_identity(path);
    REQUIRE(loaded.has_value());
    CHECK(*loaded == *identity);
  }
  // Both, and nobody guesses.
  write_text(path + kCopySuffix, whole.substr(1));
  CHECK(load_identity(path).error().code == Errc::corrupt);
  write_text(path, whole);
  CHECK(load_identity(path).has_value());
  // A lost one is no damaged one: the directory may not be the one that it was.
  REQUIRE(replace_identity(path, *identity).has_value());
  std::filesystem::remove(path);
  CHECK(load_identity(path).error().code == Errc::not_found);
}
