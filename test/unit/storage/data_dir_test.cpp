#include "storage/data_dir.hpp"

#include <unistd.h>

#include <filesystem>

#include "storage/log.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using namespace bftmeta::storage;
using bftmeta::test::TempDir;

namespace {

template <class Array>
Array filled(std::uint8_t byte) {
  Array a;
  a.fill(byte);
  return a;
}

const PublicKey kKey = filled<PublicKey>(1);
const Hash kCluster = filled<Hash>(2);

// What keygen leaves behind.
struct Fresh {
  TempDir temp;
  std::string path = temp / "replica";
  Fresh() {
    std::filesystem::create_directory(path);
    REQUIRE(config::create_identity(identity(), kKey));
  }
  std::string identity() const { return path + "/" + config::kIdentityFile; }
  Result<DataDirectory> open(const PublicKey& key = kKey, const Hash& cluster = kCluster,
                             std::uint32_t id = 3) const {
    return DataDirectory::open(path, key, cluster, id);
  }
};

// Refused with this code, in one line that contains `part`.
void check_refused(const Result<DataDirectory>& opened, Errc code, const std::string& part) {
  REQUIRE_FALSE(opened);
  CAPTURE(opened.error().message);
  CHECK(opened.error().code == code);
  CHECK(opened.error().message.find(part) != std::string::npos);
  CHECK(opened.error().message.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("first start binds and makes the log, each start is a new incarnation") {
  const Fresh fresh;
  for (std::uint64_t start = 1; start <= 3; ++start) {
    const auto opened = fresh.open();
    REQUIRE(opened);
    CHECK(opened->identity().incarnation == start);
    const auto stored = config::load_identity(fresh.identity());
    REQUIRE(stored);
    CHECK(*stored == opened->identity());
    CHECK(stored->cluster_id == kCluster);
    CHECK(stored->replica_id == 3);
    CHECK(Log::open(posix_file_system(), opened->log_path(), {.segment_bytes = 1 << 20},
                    opened->identity().log_secret, 0));
  }
}

TEST_CASE("a data directory in use is refused, and free again afterwards") {
  const Fresh fresh;
  {
    const auto first = fresh.open();
    REQUIRE(first);
    check_refused(fresh.open(), Errc::identity,
                  "in use by a running bftmetad (process " + std::to_string(::getpid()) + ")");
  }
  CHECK(fresh.open());
}

TEST_CASE("a data directory of someone else is refused") {
  const Fresh fresh;
  REQUIRE(fresh.open());
  check_refused(fresh.open(filled<PublicKey>(9)), Errc::identity, "another vote key");
  check_refused(fresh.open(kKey, filled<Hash>(9)), Errc::identity, "belongs to cluster");
  check_refused(fresh.open(kKey, kCluster, 1), Errc::identity, "belongs to replica 3, not 1");
  // None of these attempts counts as a start.
  CHECK(config::load_identity(fresh.identity())->incarnation == 1);
}

TEST_CASE("no directory, no identity") {
  const TempDir temp;
  check_refused(DataDirectory::open(temp / "none", kKey, kCluster, 0), Errc::not_found,
                "does not exist");
  std::filesystem::create_directory(temp / "empty");
  check_refused(DataDirectory::open(temp / "empty", kKey, kCluster, 0), Errc::not_found, "keygen");
}

TEST_CASE("a key whose log is gone must not vote again") {
  const Fresh fresh;
  std::string log;
  {
    const auto opened = fresh.open();
    REQUIRE(opened);
    log = opened->log_path();
  }
  std::filesystem::remove_all(log);
  check_refused(fresh.open(), Errc::identity, "its votes are lost");
  check_refused(fresh.open(), Errc::identity, "keygen");
}

TEST_CASE("a first start that was cut off goes on; a used log under a fresh identity does not") {
  const Fresh fresh;
  const auto identity = config::load_identity(fresh.identity());
  REQUIRE(identity);
  FileSystem& fs = posix_file_system();
  SUBCASE("cut off before the identity was bound") {
    REQUIRE(Log::create(fs, fresh.path + "/log", identity->log_secret));
    const auto opened = fresh.open();
    REQUIRE(opened);
    CHECK(opened->identity().incarnation == 1);
  }
  SUBCASE("log of another store") {
    REQUIRE(Log::create(fs, fresh.path + "/log", filled<Hash>(7)));
    check_refused(fresh.open(), Errc::identity, "is not that of the identity");
  }
  SUBCASE("identity put back from the day of keygen") {
    {
      const auto opened = fresh.open();
      REQUIRE(opened);
      auto log = Log::open(fs, opened->log_path(), {.segment_bytes = 1 << 20},
                           opened->identity().log_secret, 0);
      REQUIRE(log);
      log->log->set_state_provider([] { return std::vector<Record>{}; });
      log->log->append({1, RecordClass::control, 1, std::nullopt, to_bytes("vote")});
      REQUIRE(log->log->commit());
    }
    REQUIRE(config::replace_identity(fresh.identity(), *identity));
    check_refused(fresh.open(), Errc::identity, "is not that of the identity");
  }
}
