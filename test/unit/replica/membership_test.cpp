// Epochs as a replica has them on its disk: what it follows, what it reads back, and what it
// refuses.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "chain_disk.hpp"

using namespace bftmeta;
using namespace bftmeta::replica;
using test::ChainDisk;

TEST_CASE("steps are followed, durably, and once") {
  ChainDisk disk;
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
    CHECK(m->transfer_options(9, 0).epoch_start == messages::plain(step.cert));
    CHECK(disk.follow(*m, {step}).error().code == Errc::unverified);
    m = disk.load(key);
    REQUIRE(m);
  }
}

TEST_CASE("what proves no step changes nothing, and writes nothing") {
  ChainDisk disk;
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
  ChainDisk disk;
  const test::Cluster seven(7);
  auto leaves = disk.load(disk.four.replicas[3]->public_key());
  auto joins = disk.load(seven.replicas[6]->public_key());
  REQUIRE(leaves);
  REQUIRE(joins);
  CHECK_FALSE(joins->position());
  CHECK(joins->left_out(8).empty());
  CHECK(disk.follow(*leaves, {disk.replaced()}).error().code == Errc::identity);
  CHECK(leaves->epoch() == 1);
  CHECK_FALSE(leaves->position());
  CHECK(disk.load(disk.four.replicas[3]->public_key()).error().code == Errc::identity);
  REQUIRE(disk.follow(*joins, {disk.replaced()}));
  CHECK(joins->position() == 3);
  CHECK(joins->left_out(8) == std::vector{disk.four.config().replicas[3]});
}

TEST_CASE("whom the last steps have left out") {
  ChainDisk disk;
  auto m = disk.load(disk.four.replicas[0]->public_key());
  REQUIRE(m);
  for (const std::uint32_t number : {6U, 5U, 4U})
    REQUIRE(disk.follow(*m, {disk.replaced(m->config(), number)}));
  std::vector<config::Replica> left;
  for (const config::Replica& before :
       {disk.third(5), disk.third(6), disk.four.config().replicas[3]}) {
    left.push_back(before);
    CHECK(m->left_out(left.size()) == left);
  }
  CHECK(m->left_out(8) == left);
  CHECK(m->left_out(0).empty());
}

TEST_CASE("a chain on the disk that does not hold is refused") {
  ChainDisk disk;
  const PublicKey key = disk.four.replicas[0]->public_key();
  auto m = disk.load(key);
  REQUIRE(m);
  REQUIRE(disk.follow(*m, {test::sample_step(disk.four)}));
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(disk.path));
  std::filesystem::remove(disk.path + config::kCopySuffix);
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

TEST_CASE("a chain on the disk that is damaged, or gone, has a copy") {
  ChainDisk disk;
  const PublicKey key = disk.four.replicas[0]->public_key();
  auto m = disk.load(key);
  REQUIRE(m);
  REQUIRE(disk.follow(*m, {test::sample_step(disk.four)}));
  const std::string copy = disk.path + config::kCopySuffix;
  const std::string whole = test::read_text(disk.path);
  std::string damaged = disk.path;
  bool gone = false;
  SUBCASE("the first is damaged") {}
  SUBCASE("the second is damaged") { damaged = copy; }
  SUBCASE("the first is gone") { gone = true; }
  SUBCASE("the second is gone") {
    damaged = copy;
    gone = true;
  }
  if (gone)
    std::filesystem::remove(damaged);
  else
    test::write_text(damaged, whole.substr(1));
  auto again = disk.load(key);
  REQUIRE(again);
  CHECK(again->epoch() == 1);
  CHECK_FALSE(again->damage().empty());
  REQUIRE(again->mend(storage::posix_file_system()));
  CHECK(again->damage().empty());
  CHECK(test::read_text(disk.path) == whole);
  CHECK(test::read_text(copy) == whole);
  CHECK(disk.load(key)->damage().empty());
}
