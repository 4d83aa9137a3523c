// Epochs as a replica has them on its disk: what it follows, what it reads back, and what it
// refuses.
#include "replica/membership.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "samples.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using namespace bftmeta::replica;

namespace {

struct Disk {
  Result<Membership> load(const PublicKey& key) {
    return Membership::load(storage::posix_file_system(), path, four.genesis, verifier, key);
  }
  Status follow(Membership& m, std::vector<messages::EpochStep> steps) {
    return m.follow(storage::posix_file_system(), verifier, steps);
  }
  // Member 3 gives way to one whose number here is 6.
  messages::EpochStep replaced() const {
    const test::Cluster seven(7);
    messages::EpochStep step;
    step.next = four.config();
    step.next.epoch = 1;
    step.next.replicas[3].vote_key = seven.replicas[6]->public_key();
    messages::CertBody body = test::sample_body(four, 6);
    body.epoch_end_seq = body.seq;
    body.next_config_hash = step.next.hash();
    step.cert = four.certify_jointly(body, 0b0111, four, 0b0111);
    return step;
  }

  test::TempDir dir;
  const std::string path = dir.path() + "/epochs";
  const test::Cluster four{4};
  const crypto::Ed25519Verifier verifier;
};

}  // namespace

TEST_CASE("steps are followed, durably, and once") {
  Disk disk;
  const PublicKey key = disk.four.replicas[2]->public_key();
  auto m = disk.load(key);
  REQUIRE(m);
  CHECK(m->epoch() == 0);
  CHECK(m->position() == 2);
  CHECK_FALSE(m->start_cert());
  const messages::EpochStep step = test::sample_step(disk.four);
  REQUIRE(disk.follow(*m, {step}));
  for (int life = 0; life < 2; ++life) {
    CHECK(m->epoch() == 1);
    CHECK(m->config() == step.next);
    CHECK(m->position() == 2);
    CHECK(m->start() == step.cert.body.seq);
    CHECK(m->start_cert() == messages::plain(step.cert));
    CHECK(m->steps_from(0).steps == std::vector{step});
    const transfer::Options options = m->transfer_options(9, 0);
    CHECK(options.epoch_start == step.cert.body);
    CHECK(options.epoch_start_cert == messages::plain(step.cert));
    CHECK(disk.follow(*m, {step}).error().code == Errc::unverified);
    m = disk.load(key);
    REQUIRE(m);
  }
}

TEST_CASE("what proves no step changes nothing, and writes nothing") {
  Disk disk;
  auto m = disk.load(disk.four.replicas[2]->public_key());
  REQUIRE(m);
  std::vector<messages::EpochStep> steps = {test::sample_step(disk.four)};
  SUBCASE("none at all") { steps.clear(); }
  SUBCASE("a signature") { steps[0].cert.signatures[0][0] ^= 1; }
  SUBCASE("a signature of the next members") { steps[0].cert.next_signatures[0][0] ^= 1; }
  SUBCASE("other members than were signed") { steps[0].next.replicas[1].port += 1; }
  SUBCASE("a good one and one more") { steps.push_back(steps[0]); }
  CHECK(disk.follow(*m, steps).error().code == Errc::unverified);
  CHECK(m->epoch() == 0);
  CHECK_FALSE(std::filesystem::exists(disk.path));
}

TEST_CASE("a key that has left never comes back, one that joins finds its place") {
  Disk disk;
  const test::Cluster seven(7);
  auto leaves = disk.load(disk.four.replicas[3]->public_key());
  auto joins = disk.load(seven.replicas[6]->public_key());
  REQUIRE(leaves);
  REQUIRE(joins);
  CHECK_FALSE(joins->position());
  CHECK(disk.follow(*leaves, {disk.replaced()}).error().code == Errc::identity);
  CHECK(leaves->epoch() == 1);
  CHECK_FALSE(leaves->position());
  CHECK(disk.load(disk.four.replicas[3]->public_key()).error().code == Errc::identity);
  REQUIRE(disk.follow(*joins, {disk.replaced()}));
  CHECK(joins->position() == 3);
}

TEST_CASE("a chain on the disk that does not hold is refused") {
  Disk disk;
  const PublicKey key = disk.four.replicas[0]->public_key();
  auto m = disk.load(key);
  REQUIRE(m);
  REQUIRE(disk.follow(*m, {test::sample_step(disk.four)}));
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(disk.path));
  for (const std::streamoff at : {std::streamoff{3}, size / 2, size - 1}) {
    CAPTURE(at);
    std::fstream file(disk.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const char was = static_cast<char>(file.get());
    file.seekp(at).put(static_cast<char>(was ^ 1)).flush();
    const auto damaged = disk.load(key);
    REQUIRE_FALSE(damaged);
    CHECK(damaged.error().code == Errc::corrupt);
    CHECK(damaged.error().message.find(disk.path) != std::string::npos);
    file.seekp(at).put(was).flush();
  }
  CHECK(disk.load(key));
}
