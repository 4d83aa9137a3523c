#include <bftmeta/verify.h>
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "proof_vectors.hpp"
#include "verify/read.hpp"

using namespace bftmeta;
using namespace bftmeta::verify;
using namespace bftmeta::verify::testing;

namespace {

const char* const kVectors = BFTMETA_VECTORS "/proofs/proofs.txt";

// As somebody else's verifier would read it: nothing but the file and the C interface.
int verify_c(const Bytes& genesis, const Bytes& proof, bftmeta_proof_result& out) {
  return bftmeta_verify_proof(genesis.data(), genesis.size(), proof.data(), proof.size(), &out);
}

void fix_check_sum(Bytes& file) {
  const Hash sum = crypto::Hasher(tags::Domain::proof_file)
                       .update(ByteView(file).first(file.size() - 32))
                       .finish();
  std::ranges::copy(sum, file.end() - 32);
}

}  // namespace

TEST_CASE("the frozen proof files are what this version makes") {
  const std::string made = proof_vectors_text(ProofWorld{});
  if (std::getenv("BFTMETA_WRITE_VECTORS") != nullptr) std::ofstream(kVectors) << made;
  std::ifstream file(kVectors);
  REQUIRE(file.is_open());
  std::stringstream kept;
  kept << file.rdbuf();
  CHECK(kept.str() == made);
}

TEST_CASE("golden proof files verify, every forged one is refused with exit code 4 and a reason") {
  std::ifstream file(kVectors);
  REQUIRE(file.is_open());
  Bytes genesis;
  std::size_t refused = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::string verdict;
    std::string hex;
    words >> name >> verdict;
    if (name == "genesis") {
      genesis = *from_hex(verdict);
      continue;
    }
    words >> hex;
    CAPTURE(name);
    bftmeta_proof_result out;
    const int code = verify_c(genesis, hex == "-" ? Bytes{} : *from_hex(hex), out);
    const std::string message = out.message;
    CAPTURE(message);
    if (verdict == "verified") {
      CHECK(code == BFTMETA_VERIFIED);
      CHECK(out.message[0] == '\0');
    } else {
      CHECK(code == BFTMETA_NOT_VERIFIED);
      CHECK(out.message[0] != '\0');
      CHECK(out.seq == 0);
      ++refused;
    }
  }
  CHECK(refused >= 49);
}

TEST_CASE("the C interface says what is proven") {
  const ProofWorld world;
  const Bytes genesis = encode(world.cluster.genesis);
  bftmeta_proof_result out;
  REQUIRE(verify_c(genesis, encode_proof_file(world.honest({"docs", "report.txt"})), out) == 0);
  CHECK(std::string(out.path) == "/docs/report.txt");
  CHECK(out.exists == 1);
  CHECK(out.ino == 3);
  CHECK(out.mode == 0100644);
  CHECK(out.size == 30);
  CHECK(out.seq == 7);
  CHECK(out.time_us == 1'700'000'000'000'007);
  REQUIRE(verify_c(genesis, encode_proof_file(world.honest({"docs", "nothing"})), out) == 0);
  CHECK(std::string(out.path) == "/docs/nothing");
  CHECK(out.exists == 0);
  CHECK(out.ino == 0);

  Bytes bad = genesis;
  bad.push_back(0);
  CHECK(verify_c(bad, encode_proof_file(world.honest({"docs"})), out) == BFTMETA_BAD_GENESIS);
  CHECK(out.message[0] != '\0');
}

TEST_CASE("every single bit flip of a proof file is refused") {
  const ProofWorld world;
  const TrustAnchor anchor = TrustAnchor::of(world.cluster.genesis);
  for (const ProofFile& made : {world.honest({"docs", "report.txt"}),
                                world.honest({"docs", "nothing"}), world.later({"docs"})}) {
    const Bytes file = encode_proof_file(made);
    REQUIRE(verify_proof_file(world.cluster.verifier, anchor, file));
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < 8 * file.size(); ++i) {
      Bytes flipped = file;
      flipped[i / 8] = static_cast<std::uint8_t>(flipped[i / 8] ^ 1U << i % 8);
      if (verify_proof_file(world.cluster.verifier, anchor, flipped)) ++accepted;
    }
    CHECK(accepted == 0);
  }
}

TEST_CASE("behind a renewed check sum, a flip is refused or asks another question truly answered") {
  const ProofWorld world;
  const TrustAnchor anchor = TrustAnchor::of(world.cluster.genesis);
  const ProofFile honest = world.honest({"docs", "nothing"});
  const Bytes file = encode_proof_file(honest);
  const std::size_t target_end = 10 + encoded_size(honest.target);
  for (std::size_t i = 0; i < 8 * (file.size() - 32); ++i) {
    Bytes flipped = file;
    flipped[i / 8] = static_cast<std::uint8_t>(flipped[i / 8] ^ 1U << i % 8);
    fix_check_sum(flipped);
    const auto proof = verify_proof_file(world.cluster.verifier, anchor, flipped);
    if (!proof) continue;
    CAPTURE(i);
    CHECK(i / 8 >= 10);
    CHECK(i / 8 < target_end);
    CHECK(proof->target != honest.target);
    const auto truth = path_fact(world.version, proof->target);
    REQUIRE(truth);
    CHECK(truth->exists == proof->fact.exists);
  }
}

TEST_CASE("behind a renewed check sum, a flip in the chain of epochs is refused") {
  const ProofWorld world;
  const TrustAnchor anchor = TrustAnchor::of(world.cluster.genesis);
  const ProofFile honest = world.later({"docs"});
  const Bytes file = encode_proof_file(honest);
  const std::size_t begin = 8 * (10 + encoded_size(honest.target));
  const std::size_t end = begin + 8 * (4 + 2 * encoded_size(honest.steps[0]));
  constexpr std::size_t kStride = 7;  // a signature check each: every bit would take seconds
  for (std::size_t i = begin; i < end; i += kStride) {
    Bytes flipped = file;
    flipped[i / 8] = static_cast<std::uint8_t>(flipped[i / 8] ^ 1U << i % 8);
    fix_check_sum(flipped);
    CAPTURE(i);
    CHECK_FALSE(verify_proof_file(world.cluster.verifier, anchor, flipped));
  }
}

TEST_CASE("a proof of the first epoch is what it was before there were others") {
  const ProofWorld world;
  CHECK(encode_proof_file(world.honest({"docs"}))[8] == 1);
  CHECK(encode_proof_file(world.later({"docs"}))[8] == 2);
  const auto later = decode_proof_file(encode_proof_file(world.later({"docs"})));
  REQUIRE(later);
  CHECK(later->steps == world.later({"docs"}).steps);
}

TEST_CASE("a proof that does not cover the question proves nothing") {
  const ProofWorld world;
  const auto tree = tree::PartialTree::parse(world.honest({"docs"}).proof);
  REQUIRE(tree);
  CHECK(path_fact(*tree, world.target({"docs"}))->exists);
  const auto beyond = path_fact(*tree, world.target({"docs", "report.txt"}));
  REQUIRE_FALSE(beyond);
  CHECK(beyond.error().code == Errc::unverified);
}

TEST_CASE("names of targets") {
  const ProofWorld world;
  CHECK(target_name(world.target({})) == "/");
  CHECK(target_name(world.target({"a", "b"})) == "/a/b");
  schema::Target t = world.target({"a"});
  t.base = 7;
  CHECK(target_name(t) == "inode 7/a");
}
