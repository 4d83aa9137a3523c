// Evidence in a data directory, over the ends of epochs: what is read back, what is left alone, and
// that no member's proof takes the place of another's.
#include "replica/evidence_files.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "chain_disk.hpp"

using namespace bftmeta;
using namespace bftmeta::replica;
using messages::Accusation;
using messages::Evidence;
using messages::KeptEvidence;
using messages::Offence;

namespace {

struct Proofs : test::ChainDisk {
  const std::string directory = dir.path() + "/evidence";
  std::vector<Evidence> found;  // by the last open()
  Membership membership = *load(four.replicas[0]->public_key());

  EvidenceFiles open() {
    found.clear();
    auto files =
        EvidenceFiles::open(storage::posix_file_system(), directory, membership, verifier, found);
    REQUIRE(files.has_value());
    return std::move(*files);
  }
  // Replica 3 gives way to another key: epoch 1.
  void replace_3() { REQUIRE(follow(membership, {replaced()}).has_value()); }

  // `key` signs, as `position`, PREPAREs of this number for two batches.
  static Evidence two_prepares(const crypto::Signer& key, const crypto::Context& context,
                               std::uint32_t position, messages::Seq seq) {
    const auto prepare = [&](std::uint8_t digest) {
      return messages::sign_prepare(key, context, {0, seq, Hash{digest}}, position);
    };
    return {prepare(1), prepare(2)};
  }
  Evidence of_old_3() const { return two_prepares(*four.replicas[3], four.context, 3, 5); }
  crypto::Context later() const { return {four.context.cluster_id, 1}; }
  Evidence of_new_3() const { return two_prepares(*seven.replicas[6], later(), 3, 9); }

  static consensus::action::Accused accused(std::uint32_t replica, messages::Seq seq, Evidence e) {
    return {{replica, Offence::two_prepares, 0, seq}, std::move(e)};
  }
  void put(const std::string& name, ByteView bytes) const {
    std::filesystem::create_directories(directory);
    test::write_text(directory + "/" + name, std::string(bytes.begin(), bytes.end()));
  }
  Bytes file(std::uint64_t epoch, Evidence e) const {
    return messages::encode_evidence_file(four.context.cluster_id, {epoch, std::move(e)});
  }
  std::size_t files_there() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory),
                                                  std::filesystem::directory_iterator()));
  }
};

}  // namespace

TEST_CASE_FIXTURE(Proofs, "evidence survives the end of its epoch, and the accused's replacement") {
  open().keep(accused(3, 5, of_old_3()));
  CHECK(open().past() == 0);
  CHECK(found == std::vector{of_old_3()});

  replace_3();
  for (int life = 0; life < 2; ++life) {
    const EvidenceFiles files = open();
    CHECK(found.empty());  // the core of this epoch could not judge it
    REQUIRE(files.past() == 1);
    CHECK(files.past_at(0) == KeptEvidence{0, of_old_3()});
    CHECK_FALSE(files.past_at(1));
    CHECK(files.accused() == 0);  // whoever is replica 3 now did nothing
  }
}

TEST_CASE_FIXTURE(Proofs, "whoever stays a member stays accused") {
  const Evidence e = two_prepares(*four.replicas[2], four.context, 2, 5);
  open().keep(accused(2, 5, e));
  CHECK(open().accused() == 0);  // of this epoch: the core's
  replace_3();
  CHECK(open().accused() == 0b0100);
}

TEST_CASE_FIXTURE(Proofs, "the same offence of the next member there overwrites nothing") {
  open().keep(accused(3, 5, of_old_3()));
  replace_3();
  open().keep(accused(3, 9, of_new_3()));
  const EvidenceFiles files = open();
  CHECK(found == std::vector{of_new_3()});
  REQUIRE(files.past() == 1);
  CHECK(files.past_at(0) == KeptEvidence{0, of_old_3()});
  CHECK(files_there() == 2);
}

TEST_CASE_FIXTURE(Proofs, "a file under a name without an epoch is read, and counts once") {
  put("replica-3-two-prepares.evidence", file(0, of_old_3()));
  open();
  CHECK(found == std::vector{of_old_3()});
  put("epoch-0-replica-3-two-prepares.evidence", file(0, of_old_3()));
  replace_3();
  CHECK(open().past() == 1);
}

TEST_CASE_FIXTURE(Proofs, "what proves nothing here is left alone") {
  replace_3();
  Evidence forged = of_old_3();
  std::get<messages::Prepare>(*forged.second).signature[7] ^= 1;
  const test::Cluster other(4, 1);
  SUBCASE("no evidence") { put("a.evidence", to_bytes("something else")); }
  SUBCASE("empty") { put("a.evidence", {}); }
  SUBCASE("a bad signature") { put("a.evidence", file(0, forged)); }
  SUBCASE("of another epoch than it says") { put("a.evidence", file(1, of_old_3())); }
  SUBCASE("of an epoch to come") { put("a.evidence", file(2, of_old_3())); }
  SUBCASE("of an epoch that never comes") { put("a.evidence", file(~0ULL, of_old_3())); }
  SUBCASE("signed with the key of the member of today") {
    put("a.evidence", file(0, two_prepares(*seven.replicas[6], four.context, 3, 5)));
  }
  SUBCASE("of another cluster") {
    put("a.evidence",
        messages::encode_evidence_file(other.context.cluster_id,
                                       {0, two_prepares(*other.replicas[3], other.context, 3, 5)}));
  }
  SUBCASE("another kind of file") { put("a.txt", file(0, of_old_3())); }
  const EvidenceFiles files = open();
  CHECK(found.empty());
  CHECK(files.past() == 0);
  CHECK(files.accused() == 0);
  CHECK(files_there() == 1);
}

TEST_CASE_FIXTURE(Proofs, "of too many files those of the newest epochs are read") {
  replace_3();
  open().keep(accused(3, 9, of_new_3()));
  for (std::size_t i = 0; i < limits::kMaxEvidenceFiles; ++i)
    put("a" + std::to_string(i) + ".evidence", to_bytes("something else"));
  put("epoch-0-replica-3-two-prepares.evidence", file(0, of_old_3()));
  CHECK(open().past() == 0);
  CHECK(found == std::vector{of_new_3()});
  std::filesystem::remove(directory + "/a0.evidence");
  std::filesystem::remove(directory + "/a1.evidence");
  CHECK(open().past() == 1);
}
